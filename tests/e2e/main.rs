//! The whole system through its binary, against real servers. Each test has its own home and its own servers.

mod arrows;
mod bad_input;
mod directions;
mod faults;
mod keys;
mod kill;
mod one_click;
mod requests;
mod sdk;
mod skip;
mod steps;
