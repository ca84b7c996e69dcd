// Two elements beside each other of keys or values in pages: as they are, or float16 in one word, where what is too large is the largest.
fn got(w: $PAIR) -> vec2f { return $GOT; }
fn kept(v: vec2f) -> $PAIR { return $KEPT; }
