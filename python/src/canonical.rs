//! Canonical JSON of Python objects: the bytes that `json.dumps(sort_keys=True, separators=(",", ":"),
//! ensure_ascii=True, allow_nan=False)` gives, and the exceptions that it raises.

use crate::bytes::bytes_of;
use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use receipt_kernel::core::canonical::{write_float, write_utf8, write_wtf8};
use receipt_kernel::core::json::Limits;
use smallvec::SmallVec;
use std::borrow::Cow;

/// How deep `json.dumps` goes from an empty stack, about.
const DEPTH: usize = 992;

/// Members of an object that need no memory of their own while they are sorted.
const FEW: usize = 8;

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// As `json.dumps` writes it.
    Dumps,
    /// As it can be read back to the same: keys are strings that UTF-8 can hold, and nothing is nested deeper than this.
    Recorded(usize),
}

/// Canonical JSON of an object, as `json.dumps` takes it.
#[pyfunction]
pub(crate) fn canonical_json<'py>(py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &to_bytes(obj, Rules::Dumps)?))
}

/// The same of an object that is to be recorded: what would be read back as something else is refused.
#[pyfunction]
pub(crate) fn recorded_json<'py>(py: Python<'py>, obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &to_bytes(obj, Rules::Recorded(Limits::WRITE.depth))?))
}

/// `sha256:` and the hexadecimal SHA-256 of bytes.
#[pyfunction]
pub(crate) fn compute_hash<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    hex_of(data, *b"sha256:0000000000000000000000000000000000000000000000000000000000000000", 7)
}

/// The hexadecimal SHA-256 of bytes.
#[pyfunction]
pub(crate) fn compute_hash_raw<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    hex_of(data, [b'0'; 64], 0)
}

/// Bytes for which letting go of the GIL pays.
const LARGE: usize = 1 << 16;

/// The SHA-256 of bytes, its digits written into a text from a place on.
fn hex_of<'py, const N: usize>(
    data: &Bound<'py, PyAny>,
    mut text: [u8; N],
    from: usize,
) -> PyResult<Bound<'py, PyString>> {
    let py = data.py();
    let digest = if let Ok(bytes) = data.cast::<PyBytes>() {
        hash_of(py, bytes.as_bytes())
    } else if data.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("Strings must be encoded before hashing"));
    } else {
        hash_of(py, &bytes_of(data)?)
    };
    data_encoding::HEXLOWER.encode_mut(digest.as_ref(), &mut text[from..]);
    PyString::from_bytes(py, &text)
}

fn hash_of(py: Python<'_>, bytes: &[u8]) -> ring::digest::Digest {
    let hash = || ring::digest::digest(&ring::digest::SHA256, bytes);
    if bytes.len() < LARGE { hash() } else { py.detach(hash) }
}

/// Canonical JSON of an object.
pub(crate) fn to_bytes(obj: &Bound<'_, PyAny>, rules: Rules) -> PyResult<Vec<u8>> {
    let mut writer = Writer { out: Vec::with_capacity(2048), open: Vec::new(), rules };
    writer.value(obj)?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// The containers that are being written, by identity.
    open: Vec<usize>,
    rules: Rules,
}

impl Writer {
    /// What nearly all objects are goes by the address of its type; to ask what a type inherits from is a call each time.
    fn value(&mut self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = obj.cast_exact::<PyString>() {
            self.string(text)
        } else if let Ok(dict) = obj.cast_exact::<PyDict>() {
            self.inside(obj, |writer| writer.members(dict))
        } else if let Ok(list) = obj.cast_exact::<PyList>() {
            self.inside(obj, |writer| writer.items(list.iter()))
        } else if obj.is_exact_instance_of::<PyInt>() {
            self.integer(obj)
        } else if obj.is_none() {
            self.plain("null");
            Ok(())
        } else if let Ok(flag) = obj.cast_exact::<PyBool>() {
            self.plain(if flag.is_true() { "true" } else { "false" });
            Ok(())
        } else if let Ok(number) = obj.cast_exact::<PyFloat>() {
            self.float(number)
        } else if let Ok(tuple) = obj.cast_exact::<PyTuple>() {
            self.inside(obj, |writer| writer.items(tuple.iter()))
        } else {
            self.instance(obj)
        }
    }

    /// An instance of a class that inherits from one of these.
    fn instance(&mut self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = obj.cast::<PyString>() {
            self.string(text)
        } else if obj.is_instance_of::<PyInt>() {
            self.integer(obj)
        } else if let Ok(number) = obj.cast::<PyFloat>() {
            self.float(number)
        } else if obj.is_instance_of::<PyList>() || obj.is_instance_of::<PyTuple>() {
            self.inside(obj, |writer| {
                let items = obj.try_iter()?.collect::<PyResult<Vec<_>>>()?;
                writer.items(items.into_iter())
            })
        } else if let Ok(dict) = obj.cast::<PyDict>() {
            self.inside(obj, |writer| writer.members(dict))
        } else {
            let problem = format!("Object of type {} is not JSON serializable", obj.get_type().name()?);
            Err(PyTypeError::new_err(problem))
        }
    }

    fn inside(&mut self, obj: &Bound<'_, PyAny>, write: impl FnOnce(&mut Self) -> PyResult<()>) -> PyResult<()> {
        let identity = obj.as_ptr() as usize;
        if self.open.contains(&identity) {
            return Err(PyValueError::new_err("Circular reference detected"));
        }
        match self.rules {
            Rules::Recorded(depth) if self.open.len() >= depth => {
                return Err(PyValueError::new_err(format!("nested more than {depth} deep: it cannot be recorded")));
            }
            Rules::Dumps if self.open.len() >= DEPTH => {
                let problem = "maximum recursion depth exceeded while encoding a JSON object";
                return Err(PyRecursionError::new_err(problem));
            }
            _ => {}
        }
        self.open.push(identity);
        write(self)?;
        self.open.pop();
        Ok(())
    }

    fn items<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>) -> PyResult<()> {
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(&item)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn members(&mut self, dict: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = dict.py();
        let mut members: SmallVec<[(Bound<'_, PyAny>, Bound<'_, PyAny>); FEW]> = SmallVec::new();
        if dict.is_exact_instance_of::<PyDict>() {
            members.extend(dict.iter());
        } else {
            for item in dict.as_any().call_method0(intern!(py, "items"))?.try_iter()? {
                members.push(item?.extract()?);
            }
        }
        let exact = members.iter().all(|(key, _)| key.is_exact_instance_of::<PyString>());
        if !exact && self.rules == Rules::Dumps {
            // Python's own comparison, which for keys of several types is an error of its own wording.
            let list = PyList::new(py, members.into_vec())?;
            list.sort()?;
            let members = list.iter().map(|item| item.extract()).collect::<PyResult<Vec<_>>>()?;
            return self.sorted(&members);
        }
        let mut named: SmallVec<[(Cow<'_, [u8]>, &_); FEW]> = SmallVec::new();
        for (key, value) in &members {
            named.push((text_of(key)?, value));
        }
        // In the order of code points, which is that of UTF-8 bytes.
        named.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.out.push(b'{');
        for (place, (name, value)) in named.iter().enumerate() {
            // What is not UTF-8 had to be encoded.
            if matches!(name, Cow::Owned(_)) && self.rules != Rules::Dumps {
                return Err(PyValueError::new_err("a key holds half of a surrogate pair: it cannot be recorded"));
            }
            if place > 0 {
                self.out.push(b',');
            }
            write_wtf8(&mut self.out, name);
            self.out.push(b':');
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Members in the order that Python has brought them into.
    fn sorted(&mut self, members: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)]) -> PyResult<()> {
        self.out.push(b'{');
        for (place, (key, value)) in members.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.key(key)?;
            self.out.push(b':');
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(text) = key.cast::<PyString>() {
            return self.string(text);
        }
        self.out.push(b'"');
        if let Ok(number) = key.cast::<PyFloat>() {
            self.float(number)?;
        } else if let Ok(flag) = key.cast_exact::<PyBool>() {
            self.plain(if flag.is_true() { "true" } else { "false" });
        } else if key.is_none() {
            self.plain("null");
        } else if key.is_instance_of::<PyInt>() {
            self.integer(key)?;
        } else {
            let problem = format!("keys must be str, int, float, bool or None, not {}", key.get_type().name()?);
            return Err(PyTypeError::new_err(problem));
        }
        self.out.push(b'"');
        Ok(())
    }

    fn float(&mut self, number: &Bound<'_, PyFloat>) -> PyResult<()> {
        if !number.value().is_finite() {
            return Err(PyValueError::new_err("Out of range float values are not JSON compliant"));
        }
        write_float(&mut self.out, number.value());
        Ok(())
    }

    fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(number) = obj.extract::<i64>() {
            self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            return Ok(());
        }
        let py = obj.py();
        let text = py.get_type::<PyInt>().call_method1(intern!(py, "__repr__"), (obj,))?;
        let text: String = text.extract()?;
        let digits = text.trim_start_matches('-').len();
        if self.rules != Rules::Dumps && Limits::WRITE.int_digits.is_some_and(|limit| digits > limit) {
            return Err(PyValueError::new_err(format!("an integer of {digits} digits cannot be recorded")));
        }
        self.plain(&text);
        Ok(())
    }

    fn string(&mut self, text: &Bound<'_, PyString>) -> PyResult<()> {
        match text.to_str() {
            Ok(text) => write_utf8(&mut self.out, text),
            Err(_) => write_wtf8(&mut self.out, &text_of(text.as_any())?),
        }
        Ok(())
    }
}

/// The UTF-8 of a key or text, in which halves of surrogate pairs stand as three bytes each.
fn text_of<'a>(text: &'a Bound<'_, PyAny>) -> PyResult<Cow<'a, [u8]>> {
    let Ok(string) = text.cast::<PyString>() else {
        return Err(PyValueError::new_err("a key is not a string: it would be read back as another one"));
    };
    if let Ok(text) = string.to_str() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let encoded = text.call_method1(intern!(text.py(), "encode"), ("utf-8", "surrogatepass"))?;
    Ok(Cow::Owned(encoded.extract()?))
}
