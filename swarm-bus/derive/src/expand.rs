//! The implementation that the derive writes.

use crate::{attribute, doc, template};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, Result};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let topic = attribute::Topic::find(&input.attrs, name)?;
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a topic has no generic parameters",
        ));
    }
    let places = template::places(&topic.template)?;
    let (pieces, last) = template::pieces(&topic.template);
    let fields = in_template_order(&fields(input)?, &places, &topic)?;

    let home = match &topic.home {
        Some(path) => quote!(#path),
        None => quote!(::swarm_bus),
    };
    let (template, payload) = (&topic.template, &topic.payload);
    let json = quote!(#home::Json);
    let codec = topic.codec.as_ref().map_or(json.clone(), |t| quote!(#t));
    let delivery = if topic.stored {
        quote!(Stored)
    } else {
        quote!(Live)
    };
    let offline = match topic.offline.as_ref().map(ToString::to_string).as_deref() {
        Some("drop_oldest") => quote!(DropOldest),
        Some("spool") => quote!(Spool),
        _ => quote!(Fail),
    };
    let schema = topic.schema.as_ref().map_or(quote!(1), |v| quote!(#v));

    let verify = topic.verify.as_ref().map(|verify| {
        quote! {
            fn verify(
                &self,
                payload: &Self::Payload,
                headers: &#home::Headers,
            ) -> ::core::result::Result<(), #home::ForgedIdentity> {
                #verify(self, payload, headers)
            }
        }
    });

    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let count = fields.len();

    let subject = match count {
        0 => quote!(#home::Subject::from_static(#template)),
        _ => quote! {
            let mut text = #home::__private::SubjectText::new();
            #(
                text.piece(#pieces);
                text.value(&self.#idents);
            )*
            text.piece(#last);
            text.finish()
        },
    };
    let call = topic.reply.as_ref().map(|reply| {
        let codec = topic.reply_codec.as_ref().map_or(json, |t| quote!(#t));
        quote! {
            #[automatically_derived]
            impl #home::Call for #name {
                type Reply = #reply;
                type ReplyCodec = #codec;
            }
        }
    });
    let described = described(input, &topic, &fields, &home);
    let filter = (count > 0).then(|| {
        let visibility = &input.vis;
        quote! {
            #[automatically_derived]
            impl #name {
                /// Returns the filter for the given places; those that are `None` stay open.
                #[must_use]
                #visibility fn filter(
                    #(#idents: ::core::option::Option<&#types>),*
                ) -> #home::Filter<Self> {
                    #home::Filter::with(&[
                        #(#idents.map(<#types as #home::Parameter>::to_token)),*
                    ])
                }
            }
        }
    });

    Ok(quote! {
        #[automatically_derived]
        impl #home::Topic for #name {
            type Payload = #payload;
            type Codec = #codec;
            const TEMPLATE: #home::Template = #home::Template::new(#template);
            const DELIVERY: #home::Delivery = #home::Delivery::#delivery;
            const OFFLINE: #home::Offline = #home::Offline::#offline;
            const SCHEMA: u16 = #schema;

            fn parameters(&self) -> #home::Parameters {
                #home::Parameters::from([#(<#types as #home::Parameter>::to_token(&self.#idents)),*])
            }

            fn from_parameters(
                values: &[#home::Token],
            ) -> ::core::result::Result<Self, #home::ParseTopicError> {
                let mut values = values.iter();
                ::core::result::Result::Ok(Self {
                    #(#idents: #home::__private::next_parameter::<#types>(
                        &mut values,
                        ::core::stringify!(#idents),
                    )?),*
                })
            }

            fn subject(&self) -> #home::Subject {
                #subject
            }

            fn parse(
                subject: &#home::Subject,
            ) -> ::core::result::Result<Self, #home::ParseTopicError> {
                let [#(#idents),*] =
                    #home::__private::values::<Self, #count>(subject, [#(#pieces),*], #last)?;
                ::core::result::Result::Ok(Self {
                    #(#idents: #home::__private::parameter::<#types>(
                        #idents,
                        ::core::stringify!(#idents),
                    )?),*
                })
            }
            #verify
        }
        #call
        #described
        #filter
    })
}

/// What the catalogue of topics asks.
fn described(
    input: &DeriveInput,
    topic: &attribute::Topic,
    fields: &[&Field],
    home: &TokenStream,
) -> TokenStream {
    let (name, payload) = (&input.ident, &topic.payload);
    let doc = doc::text(&input.attrs);
    let source = |of: &syn::Type| quote!((&#home::__private::Probe::<#of>::NEW).schema_source());
    let payload = source(payload);
    let places = fields.iter().map(|field| {
        let (ident, of, doc) = (&field.ident, &field.ty, doc::text(&field.attrs));
        quote!(.place::<#of>(::core::stringify!(#ident), #doc))
    });
    let reply = topic.reply.as_ref().map(|reply| {
        let reply = source(reply);
        quote!(.reply::<Self>(#reply))
    });
    quote! {
        #[automatically_derived]
        impl #home::catalogue::Described for #name {
            fn describe() -> #home::catalogue::Description {
                #[allow(unused_imports)]
                use #home::__private::{WithSchema as _, WithoutSchema as _};
                #home::catalogue::Description::new::<Self>(::core::stringify!(#name), #payload)
                    .doc(#doc)
                    #(#places)*
                    #reply
            }
        }
    }
}

fn fields(input: &DeriveInput) -> Result<Vec<&Field>> {
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(fields.named.iter().collect()),
            Fields::Unit => Ok(Vec::new()),
            Fields::Unnamed(fields) => Err(Error::new_spanned(
                fields,
                "a topic's fields are named after the places of its template",
            )),
        },
        _ => Err(Error::new(input.ident.span(), "a topic is a struct")),
    }
}

fn in_template_order<'a>(
    fields: &[&'a Field],
    places: &[String],
    topic: &attribute::Topic,
) -> Result<Vec<&'a Field>> {
    let is = |field: &Field, place: &str| field.ident.as_ref().is_some_and(|i| i == place);
    for field in fields {
        if !places.iter().any(|place| is(field, place)) {
            return Err(Error::new_spanned(
                &field.ident,
                format!("the field stands nowhere in `{}`", topic.template.value()),
            ));
        }
    }
    places
        .iter()
        .map(|place| {
            fields
                .iter()
                .copied()
                .find(|field| is(field, place))
                .ok_or_else(|| {
                    Error::new(
                        topic.template.span(),
                        format!("no field for the place `{{{place}}}`"),
                    )
                })
        })
        .collect()
}
