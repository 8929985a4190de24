//! Numbers: integers as their digits, floats as Python lays them out.

use crate::error::{Error, JsonProblem};
use crate::json::{Digits, Limits, Number};

pub(super) fn write_number(out: &mut Vec<u8>, number: &Number, limits: Limits) -> Result<(), Error> {
    match &number.0 {
        Digits::Int(value) => write_i64(out, *value),
        Digits::BigInt(text) => {
            let digits = text.trim_start_matches('-').len();
            if limits.int_digits.is_some_and(|max| digits > max) {
                return Err(Error::Json { offset: out.len(), problem: JsonProblem::TooManyDigits { digits } });
            }
            out.extend_from_slice(text.as_bytes());
        }
        Digits::Float(value) => write_float(out, *value),
    }
    Ok(())
}

/// Appends an integer's digits.
pub(crate) fn write_i64(out: &mut Vec<u8>, value: i64) {
    let mut buffer = [0; 20];
    let mut start = buffer.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&buffer[start..]);
}

/// Appends a finite float as Python's `repr`: positional if the decimal exponent is from -4 to 15, else
/// scientific with at least two digits of exponent.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    let (sign, shortest) = shortest.strip_prefix('-').map_or(("", shortest), |rest| ("-", rest));
    out.extend_from_slice(sign.as_bytes());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut buffer = [0; 32];
    let all = &mut buffer[..whole.len() + fraction.len()];
    all[..whole.len()].copy_from_slice(whole.as_bytes());
    all[whole.len()..].copy_from_slice(fraction.as_bytes());
    let leading = all.iter().take_while(|digit| **digit == b'0').count();
    let trailing = all[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = &all[leading..all.len() - trailing];
    if digits.is_empty() {
        out.extend_from_slice(b"0.0");
        return;
    }
    // 0.d1d2d3… × 10^point
    let point = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(leading).unwrap_or(0) + exponent;
    layout(out, digits, point);
}

fn layout(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros =
        |out: &mut Vec<u8>, many: i32| out.extend(std::iter::repeat_n(b'0', usize::try_from(many).unwrap_or(0)));
    match point {
        -3..=0 => {
            out.extend_from_slice(b"0.");
            zeros(out, -point);
            out.extend_from_slice(digits);
        }
        1..=16 if count <= point => {
            out.extend_from_slice(digits);
            zeros(out, point - count);
            out.extend_from_slice(b".0");
        }
        1..=16 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let exponent = point - 1;
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            write_i64(out, i64::from(exponent.abs()));
        }
    }
}

/// A token is a canonical float if it reads as one and is written back the same.
pub(super) fn is_canonical_float(token: &[u8]) -> bool {
    let value = std::str::from_utf8(token).ok().and_then(|token| token.parse().ok());
    value.filter(|value: &f64| value.is_finite()).is_some_and(|value| {
        let mut written = Vec::with_capacity(32);
        write_float(&mut written, value);
        written == token
    })
}
