//! The directories of bottles, each with its record.

use crate::record::Record;

pub(crate) type Store = claude_bottle_kit::rundir::Store<Record>;
pub(crate) type RunDir = claude_bottle_kit::rundir::RunDir<Record>;
pub(crate) type Found = claude_bottle_kit::rundir::Found<Record>;
