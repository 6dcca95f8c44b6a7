//! The whole system through its binary, against real servers. Each test has its own home and its own servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "what was seen, for whoever runs a test alone")]

mod archived;
mod arrows;
mod azure;
mod bad_input;
mod bodies;
mod breakpoints;
mod clock;
mod composite;
mod consoles;
mod crash;
mod damage;
mod directions;
mod disks;
mod failures;
mod fault_scenarios;
mod fault_table;
mod faults;
mod fidelity;
mod hostile;
mod keys;
mod kill;
mod limits_of_files;
mod living;
mod longest;
mod mapping;
mod memory;
mod model;
mod one_click;
mod others;
mod pairs;
mod plan;
mod power;
mod requests;
mod rounds;
mod sdk;
mod skip;
mod steps;
mod upyun;
mod vendors;
mod vendors_bad_input;
mod versions;
mod weblist;
