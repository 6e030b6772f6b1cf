//! What stands under alerts/: checked by the programs that it is meant for, held to the metrics that there are, to its documents and
//! to its own tests.

mod documents;
mod expressions;
mod files;
mod programs;
mod runbooks;
