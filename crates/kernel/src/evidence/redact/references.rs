//! Values that only say where a secret is: variables, templates, and addresses in a store of secrets. They are no secrets,
//! and whoever reads a log needs them.

/// What the addresses of secrets begin with.
const ADDRESSES: [&str; 27] = [
    "op://",
    "vault://",
    "vault:",
    "ref+",
    "secretref+",
    "secret://",
    "secrets://",
    "sm://",
    "gcp-sm://",
    "gcpsm://",
    "awssm://",
    "aws-sm://",
    "aws-ssm://",
    "ssm://",
    "ssm:/",
    "akv://",
    "azurekeyvault://",
    "keyring:",
    "keychain:",
    "arn:aws",
    "env:",
    "os.environ/",
    "bws://",
    "doppler://",
    "infisical://",
    "@microsoft.keyvault(",
    "dep:",
];

/// Whether a value only says where a secret is.
pub(super) fn is_reference(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    match value {
        [] | [b'0'..=b'9', ..] => return false,
        [b'$' | b'{' | b'%' | b'#' | b'<' | b'!', ..] => {}
        [first, ..] if !first.is_ascii_alphabetic() && *first != b'@' => return false,
        _ => return is_address(value),
    }
    // Of several, each is one, whatever joins them.
    let mut rest = value;
    for _ in 0..8 {
        let Some(length) = expression(rest) else { return false };
        rest = &rest[length..];
        let joint =
            rest.iter().take(2).take_while(|byte| matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b' ')).count();
        rest = &rest[joint..];
        if rest.is_empty() {
            return true;
        }
    }
    false
}

fn is_address(value: &[u8]) -> bool {
    let begins =
        |address: &&str| value.len() > address.len() && value[..address.len()].eq_ignore_ascii_case(address.as_bytes());
    let blank = value.iter().any(u8::is_ascii_whitespace);
    // A secret that stands behind a way to it is none of these: they name things in words.
    let words = value.len() <= 2048 && !value.contains(&b'@') || value[0] == b'@';
    !blank && words && ADDRESSES.iter().any(begins) || is_secret_version(value)
}

/// `projects/a/secrets/b/versions/1`
fn is_secret_version(value: &[u8]) -> bool {
    value.starts_with(b"projects/") && memchr::memmem::find(value, b"/secrets/").is_some()
}

/// How long an expression is that begins here: `${…}`, `${{ … }}`, `{{ … }}`, `$(…)`, `<%= … %>`, `#{…}`, `%NAME%`, `$NAME`,
/// `<your-password>`, `!Ref name`.
fn expression(text: &[u8]) -> Option<usize> {
    let enclosed = |open: &str, close: &str| {
        let inner = text.strip_prefix(open.as_bytes())?;
        let near = &inner[..inner.len().min(LONGEST)];
        let end = memchr::memmem::find(near, close.as_bytes())?;
        // `${x:-secret}` has one in it.
        let plain = !near[..end].windows(2).any(|two| matches!(two, b":-" | b":=" | b"||"));
        (end > 0 && plain && !near[..end].contains(&b'\n')).then_some(open.len() + end + close.len())
    };
    let name = |from: usize| {
        text[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b'_')
            .count()
    };
    match text {
        [b'$', b'{', b'{', ..] => enclosed("${{", "}}"),
        [b'$', b'{', ..] => enclosed("${", "}"),
        [b'$', b'(', ..] => enclosed("$(", ")"),
        [b'{', b'{', ..] => enclosed("{{", "}}"),
        [b'#', b'{', ..] => enclosed("#{", "}"),
        [b'<', b'%', ..] => enclosed("<%", "%>"),
        [b'<', b'a'..=b'z' | b'A'..=b'Z', ..] => enclosed("<", ">").filter(|length| {
            text[1..length - 1]
                .iter()
                .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b' ' | b'.'))
        }),
        [b'%', b'A'..=b'Z', ..] => {
            let length = name(1);
            (text.get(1 + length) == Some(&b'%')).then_some(length + 2)
        }
        [b'$', b'A'..=b'Z' | b'_', ..] => Some(1 + name(1)),
        [b'!', b'A'..=b'Z', ..] => {
            let tag =
                ["!Ref ", "!Sub ", "!GetAtt ", "!ImportValue "].iter().find(|tag| text.starts_with(tag.as_bytes()))?;
            let rest = text[tag.len()..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || b".:-_${}".contains(byte))
                .count();
            Some(tag.len() + rest)
        }
        _ => None,
    }
}

/// How long an expression may be.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_where_a_secret_is_differs_from_one() {
        for reference in [
            "${DB_PASSWORD}",
            "{{ vault_x }}",
            "${{ secrets.X }}",
            "op://vault/item/field",
            "$(cat file)",
            "%PASSWORD%",
            "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "@Microsoft.KeyVault(SecretUri=https://v.test/secrets/x)",
            "$DB_PASSWORD",
            "<%= ENV['X'] %>",
            "${A}-${B}",
            "projects/p/secrets/s/versions/1",
            "<your-password>",
            "!Ref DbPassword",
        ] {
            assert!(is_reference(reference.as_bytes()), "{reference}");
        }
        for secret in
            ["hunter2", "${X:-hunter2}", "$ecret1", "x${X}", "vault", "{hunter2}", "$X hunter2", "%41bc", "<hunter2>"]
        {
            assert!(!is_reference(secret.as_bytes()), "{secret}");
        }
    }
}
