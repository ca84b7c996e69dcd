// A unit, one element or four, and its elements together.
$TYPES
fn sum_of(v: F) -> f32 { return $SUM; }
fn most_of(v: F) -> f32 { return $MOST; }
