//! Provisioners on a recording guest.
