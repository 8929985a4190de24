//! Ways in which tools print secrets: each family of them in evidence, whole and as a stream, and in a payload.
//!
//! `@` stands for a secret, `@2` for another one; what looks like a token is put together here.

use receipt_core::canonical;
use receipt_core::json::{Limits, Object, Value, parse};
use receipt_kernel::Redactor;

const SECRETS: [&str; 2] = ["zq7hunterX2", "Qx9wOther4K"];

fn filled(text: &str) -> String {
    text.replace("@2", SECRETS[1]).replace('@', SECRETS[0])
}

fn leaks(output: &[u8]) -> bool {
    let piece = |secret: &str| secret.as_bytes().windows(6).any(|part| output.windows(6).any(|window| window == part));
    SECRETS.iter().any(|secret| piece(secret))
}

fn streamed(data: &[u8], size: usize) -> Vec<u8> {
    let (mut stream, mut out) = (Redactor::builtin().stream(), Vec::new());
    data.chunks(size).for_each(|piece| stream.push(piece, &mut out));
    stream.finish(&mut out);
    out
}

/// What is wrong with texts of which no secret may be left, wherever they stand.
fn problems(family: &str, texts: &[&str]) -> Vec<String> {
    let mut problems = Vec::new();
    assert!(texts.len() >= 6, "{family}: a family has more members");
    for text in texts {
        let text = filled(text);
        assert!(leaks(text.as_bytes()), "{family}: nothing secret is in {text:?}");
        let whole = Redactor::builtin().redact(text.as_bytes()).0.into_owned();
        if leaks(&whole) {
            problems.push(format!("{family}: {text:?} -> {:?}", String::from_utf8_lossy(&whole)));
        }
        for size in [1, 7, 64] {
            if streamed(text.as_bytes(), size) != whole {
                problems.push(format!("{family}: {text:?} differs as a stream"));
            }
        }
        let again = Redactor::builtin().redact(&whole).0;
        if *again != *whole {
            problems.push(format!("{family}: {text:?} changes again: {:?}", String::from_utf8_lossy(&again)));
        }
        let mut payload = Object::from_iter([("note", text.as_str())]);
        Redactor::builtin().redact_object(&mut payload);
        let payload = canonical::to_bytes(&payload.into(), Limits::WRITE).unwrap();
        if leaks(&payload) {
            problems.push(format!("{family} in a payload: {text:?} -> {:?}", String::from_utf8_lossy(&payload)));
        }
        // A document of JSON is also a payload by its structure, and stays one as text.
        if let Ok(Value::Object(mut object)) = parse(text.as_bytes(), Limits::READ) {
            Redactor::builtin().redact_object(&mut object);
            let bytes = canonical::to_bytes(&object.into(), Limits::WRITE).unwrap();
            if leaks(&bytes) {
                problems.push(format!("{family} as a payload: {text:?} -> {:?}", String::from_utf8_lossy(&bytes)));
            }
            if parse(&whole, Limits::READ).is_err() {
                problems.push(format!("{family}: {text:?} is no JSON any more: {:?}", String::from_utf8_lossy(&whole)));
            }
        }
    }
    problems
}

fn check(family: &str, texts: &[&str]) {
    let problems = problems(family, texts);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn both_sides_of_a_change_go() {
    check(
        "changes",
        &[
            "  ~ password = \"@\" -> \"@2\"\n",
            "  ~ password = \"@\" => \"@2\"\n",
            "password: \"@\" → \"@2\"",
            "password: @ -> @2\n",
            "      ~ master_password = (sensitive value) -> \"@2\"\n",
            "~ db_password: null => \"@2\"",
            "  ~ client_secret  = \"@\"\t->\t\"@2\" # forces replacement\n",
            "password: '@' to '@2'\n",
            "-password: @\n+password: @2\n",
            "{\"log\":\"~ password = \\\"@\\\" -> \\\"@2\\\"\"}",
            "{\"password\":{\"old\":\"@\",\"new\":\"@2\"}}",
            "{\"password\": {\"before\": \"@\", \"after\": \"@2\"}, \"n\": 1}",
            "{\"client_secret\":{\"from\":null,\"to\":\"@2\"}}",
        ],
    );
}

#[test]
fn a_name_and_its_value_beside_each_other_go_in_either_order() {
    check(
        "pairs",
        &[
            "{\"name\":\"DB_PASSWORD\",\"value\":\"@\"}",
            "{\"value\": \"@\", \"name\": \"DB_PASSWORD\"}",
            "{ \"Key\" : \"db.password\" , \"Value\" : \"@\" }",
            "{\"ParameterKey\":\"DbPassword\",\"ParameterValue\":\"@\"}",
            "{\"ParameterValue\": \"@\",\n \"ParameterKey\": \"DbPassword\"}",
            "{\"key\":\"db.password\",\"value\":{\"stringValue\":\"@\"}}",
            "{\"value\":{\"stringValue\":\"@\"},\"key\":\"db.password\"}",
            "{\"db\":{\"password\":{\"sensitive\":true,\"type\":\"string\",\"value\":\"@\"}}}",
            "{\"Name\":\"/app/prod/password\",\"Type\":\"SecureString\",\"Value\":\"@\",\"Version\":3}",
            "ParameterKey=DbPassword,ParameterValue=@",
            "ParameterValue=@,ParameterKey=DbPassword",
            "{'name': 'DB_PASSWORD', 'value': '@'}",
            "env:\n  - name: DB_PASSWORD\n    value: @\n  - name: X\n    value: \"1\"\n",
            "{\"a\":\"{\\\"name\\\":\\\"DB_PASSWORD\\\",\\\"value\\\":\\\"@\\\"}\"}",
            "<add key=\"DbPassword\" value=\"@\" />",
            "<property value='@' name='db.password'/>",
            "{\"headers\":[{\"name\":\"Authorization\",\"value\":\"Basic @\"},{\"name\":\"X-Api-Key\",\"value\":\"@2\"}]}",
            "{\"headers\":[{\"value\":\"sid=@\",\"name\":\"Cookie\"}]}",
            "{\"cookies\":[{\"name\":\"sid\",\"value\":\"@\"},{\"name\":\"csrf\",\"value\":\"@2\"}]}",
            "[{\"name\":\"sid\",\"value\":\"@\",\"domain\":\".x.test\",\"path\":\"/\",\"httpOnly\":true}]",
            "{\"cookies\": {\"sid\": \"@\", \"csrf\": \"@2\"}}",
        ],
    );
}

#[test]
fn a_value_behind_spaces_goes_with_all_that_may_be_in_it() {
    check(
        "lines of INI files",
        &[
            "[default]\naws_access_key_id = x\naws_session_token = IQoJ/@//////+@2\n",
            "[pypi]\nusername = __token__\npassword = @/a.b\n",
            "[client]\nuser = root\npassword = @;x,y.z[1\n",
            "client_secret = @1/def.ghi,jkl\n",
            "refresh_token = 1//0g@@2\n",
            "password = correct @ battery @2\n",
            "password = @ # of the database\n",
            "db.password = @.cd/2;x\n",
            "[smtp]\n; the relay\nhost = mail\npassword = @, and @2\n",
            "  secret = /@/+@2=\n",
            "[a]\r\npassword = @!\r\n",
        ],
    );
    // A word alone is one of a program, unless the lines before are those of a file of settings.
    let text = |data: &str| String::from_utf8(Redactor::builtin().redact(data.as_bytes()).0.into_owned()).unwrap();
    assert_eq!(text("password = swordfish\n"), "password = swordfish\n");
    assert_eq!(text("[client]\npassword = swordfish\n"), "[client]\npassword = [REDACTED:password]\n");
}

#[test]
fn what_programs_print_of_their_values_goes() {
    check(
        "printed values",
        &[
            "config={User:bob Password:@ Port:5432}",
            "&{Host:db Password:@}",
            "map[password:@ user:bob]",
            "Config { user: \"bob\", password: Some(\"@\") }",
            "Config { password: Secret(\"@\"), db_password: String(\"@2\") }",
            "User(name=bob, password=Some(@))",
            "password=b'@'",
            "Array\n(\n    [user] => bob\n    [password] => @\n)\n",
            "array(1) {\n  [\"password\"]=>\n  string(11) \"@\"\n}\n",
            "config['password'] = '@'",
            "<input type=\"password\" name=\"p\" value=\"@\">",
            "<input value='@' type=password>",
            "<div data-x=\"{&quot;password&quot;: &quot;@&quot;}\">",
            "&#34;password&#34;: &#34;correct @ battery&#34;",
        ],
    );
}

#[test]
fn the_cells_of_a_table_under_the_name_of_a_secret_go() {
    check(
        "tables",
        &[
            "| password | @ |\n",
            " user | password\n------+-----------\n bob  | @\n amy  | @2\n(2 rows)\n",
            "+------+-------------+\n| user | password    |\n+------+-------------+\n| bob  | @ |\n+------+-------------+\n",
            "user,password,email\nbob,@,b@x\namy,\"@2\",a@x\n",
            "user\tpassword\nbob\t@\n",
            "\"id\";\"db_password\"\n\"1\";\"@\"\n",
            "name,secret\r\nx,@\r\ny,@2\r\n",
            "password,user\n@,bob\n@2,amy\n",
            "<tr><td>password</td><td>@</td></tr>",
        ]
        .map(|text| text.replace("b@x", "b(at)x").replace("a@x", "a(at)x"))
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn what_runners_and_programs_say_of_a_new_secret_goes() {
    check(
        "announcements",
        &[
            "::add-mask::@\n",
            "::set-output name=token::@\n",
            "::save-state name=api_key::@\n",
            "##vso[task.setvariable variable=token;issecret=true]@\n",
            "DB_PASSWORD<<EOF\n@\nEOF\n",
            "[Note] A temporary password is generated for root@localhost: w&8;@\n"
                .replace("root@", "root(at)")
                .as_str(),
            "Your new password is: @\n",
            "Generated password: @\n",
            "The admin password has been set to @\n",
        ],
    );
}

#[test]
fn the_word_for_a_password_counts_in_other_languages() {
    check(
        "languages",
        &[
            "Passwort: @\n",
            "пароль: @\n",
            "ПАРОЛЬ=@\n",
            "contraseña = \"@\"\n",
            "mot de passe : @\n",
            "senha=@\n",
            "{\"mot_de_passe\": \"@\"}",
            "hasło: '@'\n",
            "lösenord: @\n",
            "wachtwoord=\"@\"",
            "密码: @\n",
            "パスワード: \"@\"",
            "parola: @\n",
        ],
    );
}

#[test]
fn nothing_between_the_characters_of_a_secret_hides_it() {
    let token = format!("gh{}_{}", "p", SECRETS.concat().repeat(2));
    let (one, two) = token.split_at(17);
    let texts = [
        format!("see \u{1b}]8;;https://x.test\u{7}{one}\u{1b}]8;;\u{7}{two} end"),
        format!("see \u{1b}]8;;https://x.test\u{1b}\\{one}\u{1b}]8;;\u{1b}\\{two}"),
        format!("{one}\u{1b}[38;2;1;2;3m{two}\u{1b}[0m"),
        format!("{one}\u{1b}[38:5:1m\u{1b}[K{two}"),
        format!("{{\"log\":\"{one}\\u001b[31m{two}\\u001b[0m\"}}"),
        format!("export TOKEN={one}\\\n{two}\nnext"),
        format!("a {one}\\\r\n{two}"),
        format!("https://x.test/?q={}%252D{}&a=b", "sk", token.replacen('_', "%255F", 1)),
        format!("https://x.test/?q=password%253D{}%2526a%253Db", SECRETS[0]),
        format!("Authorization: Basic\r\n {}\r\nHost: x", SECRETS.concat()),
    ];
    check("what stands between", &texts.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn text_in_units_of_four_bytes_is_looked_into_and_stays_so() {
    for big in [false, true] {
        for mark in ["\u{FEFF}", "of "] {
            let wide = |text: &str| -> Vec<u8> {
                let bytes =
                    |letter: char| if big { u32::from(letter).to_be_bytes() } else { u32::from(letter).to_le_bytes() };
                text.chars().flat_map(bytes).collect()
            };
            let text = |value: &str| wide(&format!("{mark}é password = \"{value}\" and more"));
            let whole = Redactor::builtin().redact(&text(SECRETS[0])).0.into_owned();
            assert_eq!(whole, text("[REDACTED:password]"));
            assert_eq!(streamed(&text(SECRETS[0]), 5), whole);
        }
    }
}

#[test]
fn a_password_on_a_command_line_goes() {
    check(
        "commands",
        &[
            "REDISCLI_AUTH=@ redis-cli ping",
            "zip -r -P @ out.zip dir",
            "mongo -u root -p @ admin",
            "mongosh --host db -p@",
            "smbclient //nas/share -U bob%@",
            "openssl enc -aes-256-cbc -salt -k @ -in a",
            "sqlcmd -S db -U sa -P @ -Q x",
            "plink -ssh bob(at)host -pw @ ls",
            "7z x -p@ a.7z",
            "snmpwalk -v3 -u bob -A @ host",
            "echo \"root:@\" | chpasswd",
            "echo @ | docker login -u bob --password-stdin",
            "rabbitmqctl add_user bob @",
            "mosquitto_pub -u bob -P @ -t x",
        ],
    );
}

#[test]
fn other_forms_of_secrets_go() {
    let key = format!("{}+KEY+example.org/log+0a1b2c3d+{}{}=", "PRIVATE", SECRETS.concat(), SECRETS.concat());
    let auth = data_encoding::BASE64.encode(b"bob:x1");
    let texts = [
        format!("error: {key} is no verifier key"),
        format!("key = \"{key}\""),
        format!("https://api.telegram.org/bot123456:{}{}/getMe", SECRETS.concat(), SECRETS[0]),
        format!("root:$6$saltsalt${}{}:18000:0:99999:7:::", SECRETS.concat(), SECRETS.concat()),
        format!("bob:$y$j9T$salt${}{}:19000::::::", SECRETS.concat(), SECRETS.concat()),
        format!("x:$5$rounds=1000$s${}{}", SECRETS.concat(), SECRETS.concat()),
    ];
    check("forms", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let docker = format!("{{\"auths\": {{\"r.test\": {{\"auth\": \"{auth}\"}}}}}}");
    assert!(!String::from_utf8_lossy(&Redactor::builtin().redact(docker.as_bytes()).0).contains(&auth));
}

#[test]
fn a_number_under_the_name_of_a_secret_becomes_a_text() {
    let text = |data: &str| String::from_utf8(Redactor::builtin().redact(data.as_bytes()).0.into_owned()).unwrap();
    for (input, wanted) in [
        ("{\"password\": 48213377, \"a\": 1}", "{\"password\": \"[REDACTED:password]\", \"a\": 1}"),
        ("{\"password\":-12.5e3}", "{\"password\":\"[REDACTED:password]\"}"),
        ("{\n\"password\": 12E-45678,\n\"a\": 1}", "{\n\"password\": \"[REDACTED:password]\",\n\"a\": 1}"),
        ("{\"a\":\"{\\\"password\\\": 482133}\"}", "{\"a\":\"{\\\"password\\\": \\\"[REDACTED:password]\\\"}\"}"),
        ("{'password': 482133}", "{'password': '[REDACTED:password]'}"),
        ("{\"passwd\": 482133}", "{\"passwd\": \"[REDACTED:password]\"}"),
        ("{\"password\": true, \"passwd\": null}", "{\"password\": true, \"passwd\": null}"),
    ] {
        assert_eq!(text(input), wanted);
        let mut payload = Object::from_iter([("note", input)]);
        Redactor::builtin().redact_object(&mut payload);
        assert_eq!(payload.get("note").unwrap().as_str(), Some(wanted));
    }
    let base64 = data_encoding::BASE64.encode(b"{\"password\": 48213377, \"a\": 1}");
    let out = text(&format!("{{\"data\": \"{base64}\"}}"));
    let kept = out.split('"').nth(3).unwrap().to_owned();
    let decoded = data_encoding::BASE64.decode(kept.as_bytes()).unwrap();
    assert!(parse(&decoded, Limits::READ).is_ok(), "{}", String::from_utf8_lossy(&decoded));
    let Value::Object(mut object) = parse(b"{\"password\": 48213377, \"n\": 48213377}", Limits::READ).unwrap() else {
        panic!()
    };
    assert_eq!(Redactor::builtin().redact_object(&mut object), 1);
    assert_eq!(object.get("password").unwrap().as_str(), Some("[REDACTED:password]"));
    assert_eq!(object.get("n").unwrap().as_i64(), Some(48_213_377));
}
