// A matrix product without tiles, for few rows: a thread makes $TM rows x $TN times 4 columns of one of $KS slices of k; the slices are added up at the end.
// include snippets/product.wgsl
// include snippets/slices.wgsl

// What is read of A.
fn of_a(v: $WA, row: u32, i: u32) -> $WA { return v; }
