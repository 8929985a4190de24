//! What must stay readable: references to secrets, usage texts, names of things that only look like keys.

use receipt_core::json::Object;
use receipt_kernel::Redactor;

fn kept(text: &str) {
    let out = Redactor::builtin().redact(text.as_bytes()).0;
    assert_eq!(String::from_utf8_lossy(&out), text);
    assert_eq!(Redactor::builtin().redact_object(&mut Object::from_iter([("note", text)])), 0, "{text}");
}

#[test]
fn what_says_where_a_secret_is_stays() {
    for reference in [
        "${DB_PASSWORD}",
        "{{ vault_x }}",
        "${{ secrets.DEPLOY_TOKEN_OF_CI }}",
        "op://vault/database/password",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-x1y2z3",
        "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/db/)",
        "vault:secret/data/db#password",
        "$(cat /run/secrets/db)",
        "%DB_PASSWORD%",
        "ref+awsssm://app/db/password",
        "<%= ENV['DB_PASSWORD'] %>",
        "projects/acme/secrets/db/versions/12",
        "<your-password-goes-here>",
    ] {
        for name in ["password", "db_password", "client_secret", "api_key", "auth_token"] {
            kept(&format!("{name}: \"{reference}\"\n"));
            kept(&format!("{name} = '{}'\n", reference.replace('\'', "")));
            kept(&format!("{{\"{name}\": \"{reference}\", \"n\": 1}}"));
            let mut payload = Object::from_iter([(name, reference)]);
            assert_eq!(Redactor::builtin().redact_object(&mut payload), 0, "{name} {reference}");
        }
    }
}

#[test]
fn what_a_key_opens_is_no_key() {
    for text in [
        "key: \"projects/foo/bar\"",
        "key: \"projects/foo/bar/baz-qux\"",
        "cache_key: \"v1-linux-cargo-0123456789abcdef\"",
        "cacheKey = \"node_modules-0123456789abcdef\"",
        "\"restore-key\": \"linux-build-0123456789abcdef\"",
        "{\"s3_key\": \"builds/2026/11/app-1.2.3.tar.gz\"}",
        "nextToken: \"eyJ2IjoxLCJzIjoxfQAAAAAAAAAA\"",
    ] {
        kept(text);
    }
}

#[test]
fn a_text_about_a_flag_has_no_secret_in_it() {
    for text in [
        "usage: tool [--user USER] --password PASSWORD --token TOKEN\n",
        "  --api-key KEY       the key\n",
        "  --password <password>\n",
        "  --client-secret CLIENT_SECRET\n",
        "error: --token is required\n",
        "give --password or --password-file\n",
        "  --password STRING   (default: none)\n",
    ] {
        kept(text);
    }
}

#[test]
fn what_follows_a_prompt_on_the_next_line_stays() {
    for text in [
        "Password:\nLogin succeeded\n",
        "Password:\r\nWelcome to Ubuntu 24.04\r\n",
        "Enter passphrase:\nEverything is fine\n",
        "[sudo] password:\nReading package lists... Done\n",
        "New password:\n\nRetype new password:\npasswd: password updated successfully\n",
        "Secret:\nstored1 in 12 ms\n",
    ] {
        kept(text);
    }
}

#[test]
fn lines_of_programs_stay() {
    for text in [
        "password = self.config.password\n",
        "token = request.headers[name]\n",
        "secret = new Secret(x1)\n",
        "password = await ask1 user\n",
        "password = var.db_password\n",
        "token = tokens[i]\n",
        "password = if x1 { a } else { b }\n",
        "token = x509.token\n",
        "match password { a => b }\n",
        "fn f(user, password)\nlet (user, password) = x;\n",
        "import user, password\nprint(user1, password1)\n",
        "Password: must be at least 8 characters\n",
        "| Option | Password | Description |\n|---|---|---|\n| `db` | optional | of the user |\n",
    ] {
        kept(text);
    }
}
