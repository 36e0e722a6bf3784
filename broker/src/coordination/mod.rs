//! Skeleton: the tree of znodes.
