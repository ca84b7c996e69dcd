"""The op table: arity, first opset, and shape and type rules of every operator that edgeflow knows."""
