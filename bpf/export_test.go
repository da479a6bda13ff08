package bpf

// Scatter makes the program take each packet for one of n random IPv4 sources, a power of two.
func (o Options) Scatter(n uint32) Options {
	o.spread = n
	return o
}

// Until ends the program after a step: 1 parse, 2 lists, 3 counters, 4 target.
func (o Options) Until(step uint32) Options {
	o.depth = step
	return o
}
