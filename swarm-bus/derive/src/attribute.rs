//! `#[topic("…", payload = …)]`.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, LitInt, LitStr, Path, Result, Token, Type};

pub(crate) struct Topic {
    pub(crate) template: LitStr,
    pub(crate) payload: Type,
    pub(crate) codec: Option<Type>,
    pub(crate) reply: Option<Type>,
    pub(crate) reply_codec: Option<Type>,
    pub(crate) stored: bool,
    pub(crate) offline: Option<Ident>,
    pub(crate) schema: Option<LitInt>,
    pub(crate) verify: Option<Path>,
    pub(crate) home: Option<Path>,
}

impl Topic {
    /// Finds the one attribute among those of the struct.
    pub(crate) fn find(attributes: &[Attribute], name: &Ident) -> Result<Self> {
        let mut found = attributes
            .iter()
            .filter(|attribute| attribute.path().is_ident("topic"));
        let attribute = found.next().ok_or_else(|| {
            Error::new(
                name.span(),
                "`derive(Topic)` needs `#[topic(\"subject.{place}\", payload = Type)]`",
            )
        })?;
        if let Some(second) = found.next() {
            return Err(Error::new_spanned(second, "a topic has one template"));
        }
        attribute.parse_args()
    }
}

impl Parse for Topic {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let template: LitStr = input.parse().map_err(|error| {
            Error::new(
                error.span(),
                "expected the template first: `\"subject.{place}\"`",
            )
        })?;
        let mut payload = None;
        let mut topic = Self {
            payload: syn::parse_quote!(()),
            codec: None,
            reply: None,
            reply_codec: None,
            stored: false,
            offline: None,
            schema: None,
            verify: None,
            home: None,
            template,
        };
        let mut seen: Vec<Ident> = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let key = input.call(Ident::parse_any)?;
            if seen.contains(&key) {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
            input.parse::<Token![=]>().map_err(|_| {
                Error::new(key.span(), format!("`{key}` needs a value: `{key} = …`"))
            })?;
            match key.to_string().as_str() {
                "payload" => payload = Some(input.parse()?),
                "codec" => topic.codec = Some(input.parse()?),
                "reply" => topic.reply = Some(input.parse()?),
                "reply_codec" => topic.reply_codec = Some(input.parse()?),
                "schema" => {
                    let version: LitInt = input.parse()?;
                    version.base10_parse::<u16>().map_err(|_| {
                        Error::new(version.span(), "a schema version is a number up to 65535")
                    })?;
                    topic.schema = Some(version);
                }
                "verify" => topic.verify = Some(input.parse()?),
                "crate" => topic.home = Some(input.parse()?),
                "delivery" => {
                    let class: Ident = input.parse()?;
                    topic.stored = match class.to_string().as_str() {
                        "live" => false,
                        "stored" => true,
                        _ => {
                            return Err(Error::new(
                                class.span(),
                                "a delivery class is `live` or `stored`",
                            ));
                        }
                    };
                }
                "offline" => {
                    let policy: Ident = input.parse()?;
                    if !["fail", "drop_oldest", "spool"].contains(&&*policy.to_string()) {
                        return Err(Error::new(
                            policy.span(),
                            "an offline policy is `fail`, `drop_oldest` or `spool`",
                        ));
                    }
                    topic.offline = Some(policy);
                }
                _ => {
                    return Err(Error::new(
                        key.span(),
                        "expected `payload`, `codec`, `reply`, `reply_codec`, `delivery`, \
                         `offline`, `schema`, `verify` or `crate`",
                    ));
                }
            }
            seen.push(key);
        }
        topic.payload = payload
            .ok_or_else(|| Error::new(topic.template.span(), "the topic needs `payload = Type`"))?;
        if let Some(policy) = topic.offline.as_ref().filter(|policy| *policy == "spool")
            && !topic.stored
        {
            return Err(Error::new(
                policy.span(),
                "a spool feeds a stream: `offline = spool` needs `delivery = stored`",
            ));
        }
        if let (Some(codec), None) = (&topic.reply_codec, &topic.reply) {
            return Err(Error::new_spanned(codec, "`reply_codec` without `reply`"));
        }
        Ok(topic)
    }
}
