//! The load balancer's listeners: HTTP:80, which forwards until it redirects, and HTTPS:443.

pub mod http;
pub mod https;
mod listeners;
pub mod redirect;

pub use listeners::{Http, Listener, Listeners, find};
