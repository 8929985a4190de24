//! The log of a store that only passes it on.

/// The reads of the log, each by `$self.with`.
macro_rules! log_reads {
    ($self:ident) => {
        fn log_meta(&$self, key: &str) -> Result<Option<String>, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.log_meta(key))
        }
        fn last_checkpoint(&$self) -> Result<Option<StoredCheckpoint>, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.last_checkpoint())
        }
        fn log_tile(&$self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.log_tile(level, index))
        }
        fn segments(&$self, from: u64, visit: &mut dyn FnMut(Segment) -> Visit) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.segments(from, visit))
        }
        fn leaf_of(&$self, run: &RunId, seq: Seq) -> Result<Option<u64>, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.leaf_of(run, seq))
        }
        fn covered(&$self, run: &RunId) -> Result<u64, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.covered(run))
        }
        fn hashes(
            &$self,
            run: &RunId,
            first: Seq,
            last: Seq,
            visit: &mut dyn FnMut(i64, receipt_core::run::Cell<'_>) -> Visit,
        ) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.hashes(run, first, last, visit))
        }
        fn events_after(
            &$self,
            id: i64,
            visit: &mut dyn FnMut(i64, receipt_core::run::Cell<'_>, &EventRow<'_>) -> Visit,
        ) -> Result<(), Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.events_after(id, visit))
        }
        fn count_events(&$self) -> Result<u64, Error> {
            $self.with(&mut |it: &dyn ReadTransaction| it.count_events())
        }
    };
}
pub(crate) use log_reads;
