//! Reading a ledger back: checked, at one instant.

pub(crate) mod evidence;
pub(crate) mod head;
pub(crate) mod imports;
pub(crate) mod maintenance;
pub(crate) mod pool;
pub(crate) mod run;
pub(crate) mod snapshot;
