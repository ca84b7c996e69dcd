// The elements of a unit together.
fn sum_of(v: $F) -> f32 { return $SUM; }
fn most_of(v: $F) -> f32 { return $MOST; }
