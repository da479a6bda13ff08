package bus

import (
	"context"
	"slices"
	"strings"
)

// elsewhere returns how far the durables of other hosts on the stream name are. They
// stand in those hosts' tables, not in ours: where hosts share the streams, what
// another host has not handled yet must not be purged by this one.
func (c *Conn) elsewhere(ctx context.Context, name StreamName) ([]DurableState, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, string(name))
	if err != nil {
		return nil, err
	}
	var others []DurableState
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		if ofAnotherHost(name, info.Name, c.host) {
			others = append(others, stateOf(info))
		}
	}
	return others, list.Err()
}

// ofAnotherHost tells whether a table of durables of another host than ours has the
// durable called name on stream.
func ofAnotherHost(stream StreamName, name, ours string) bool {
	host := name[strings.LastIndexByte(name, '_')+1:]
	return host != ours && slices.ContainsFunc(Durables(host, everyModule(), InFlight{}), func(d Durable) bool {
		return d.Stream == stream && d.Name == name
	})
}
