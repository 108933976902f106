//! All answers on one page of HTML.
