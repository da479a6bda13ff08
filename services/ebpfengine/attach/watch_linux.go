package attach

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// watchBuffer has room for a burst of changes. When it overflows the kernel reports that, which counts as a change too.
const watchBuffer = 1 << 20

// Watch puts a token into changed, which should have room for one, whenever an interface, an address or a route may have changed:
// interfaces come, go, flap, or get and lose an XDP program. It blocks until ctx ends and then returns nil.
func Watch(ctx context.Context, changed chan<- struct{}) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	_ = s.SetReceiveBufferSize(watchBuffer, false) // a smaller one will do
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	for {
		_, _, err := s.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("watch interfaces: %w", err)
		}
		select {
		case changed <- struct{}{}:
		default: // one token stands for any number of changes
		}
	}
}
