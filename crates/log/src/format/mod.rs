//! Format strings at run time: templates over values that came out of a record.
