//! The program from outside: what it says, how it exits, and what it leaves behind.

mod bad_input;
mod bootstrap;
mod certificates;
mod program;
