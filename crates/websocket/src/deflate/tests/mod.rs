//! The clauses of RFC 7692, one test each, and what else may come.

mod negotiation;
