//! What the tests of the whole system stand on: a faithful test server of the S3 dialects, the servers that
//! others wrote, installations in temporary homes, and comparison by other clients.

pub mod azurite;
pub mod crash;
pub mod discreet;
pub mod family;
pub mod group;
pub mod home;
pub mod nginx;
pub mod place;
pub mod power;
pub mod proxy;
pub mod random;
pub mod servers;
pub mod stage;
pub mod upyun;
pub mod world;
pub mod writers;
