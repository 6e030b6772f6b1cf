//! smsmode.
