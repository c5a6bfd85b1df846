//! The derive macro of swarm-bus: a topic from a subject template.
//!
//! Use it by way of [`swarm-bus`](https://docs.rs/swarm-bus), which re-exports it under the feature
//! `derive`.

#![forbid(unsafe_code)]

mod attribute;
mod doc;
mod expand;
mod template;

use proc_macro::TokenStream;

/// Derives `swarm_bus::Topic` and `swarm_bus::catalogue::Described`, and `swarm_bus::Call` where a reply is named.
///
/// ```text
/// #[derive(Topic)]
/// #[topic("lab.{room}.temperature", payload = Reading)]
/// struct Temperature { room: Token }
/// ```
///
/// The fields are the open places of the template: each `{place}` names a field whose type is a
/// `swarm_bus::Parameter`, and each field stands at one place. After the template:
///
/// - `payload = Type` what a message carries; required
/// - `codec = Type` how it becomes bytes: `Raw`, `MessagePack`, `Cbor` or another `Codec`; `Json` if
///   not given
/// - `reply = Type` makes the topic a `Call` that is answered with this
/// - `reply_codec = Type` how the answer becomes bytes; `Json` if not given
/// - `delivery = live` or `stored`; `live` if not given
/// - `offline = fail`, `drop_oldest` or `spool`; `fail` if not given. `spool` needs
///   `delivery = stored`
/// - `schema = 1` the version of the payload's format; 1 if not given
/// - `verify = path` a function that holds what a message says of its sender against its subject, as
///   `swarm_bus::Topic::verify`; everything passes if not given
/// - `crate = path` where swarm-bus is, if not at `::swarm_bus`
///
/// A topic with places also gets `filter`, which takes one `Option` for each place in the order of
/// the template.
#[proc_macro_derive(Topic, attributes(topic))]
pub fn derive_topic(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
