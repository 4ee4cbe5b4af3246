//! What becomes of bottles when their engine stops, dies or fills up; on an engine of the test's own.

mod fixture;
