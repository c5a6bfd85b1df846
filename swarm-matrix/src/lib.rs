//! Matrix rooms as shared state: typed room state, encrypted timelines, alert routing.
