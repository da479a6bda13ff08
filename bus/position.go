package bus

// Position is how far a durable was, as something apart from the server's store remembers it.
type Position struct {
	Stream    StreamName
	Name      string
	Done      uint64 // through which sequence it needs nothing any more
	Floor     uint64 // its ack floor
	Delivered uint64
	// Exact says that nothing was delivered since; else it may have come further.
	Exact bool
}

// Next returns the first sequence that it needs, in a stream that ends at last.
func (p Position) Next(last uint64) uint64 { return min(p.Done, last) + 1 }

// SetAside is the state of a durable that the server cannot use, or that is not what was remembered: it was moved out of its store
// before it started. Or it was gone. Without a Name it is of a whole stream, without a Stream of all.
type SetAside struct {
	Stream StreamName
	Name   string
	Why    string
	Path   string // where it is kept; empty if it was gone
	// Rest says that only damaged records were taken from the stream.
	Rest bool
}
