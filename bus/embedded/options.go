package embedded

import (
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ironpost/ironpost/bus"
)

const (
	// writeDeadline and maxPending are how long, and for how many bytes, the server waits for
	// a client that does not read before it drops it: a stuck observer must not slow
	// producers.
	writeDeadline = 2 * time.Second
	maxPending    = 16 << 20

	// maxPayload is several times the largest record.
	maxPayload = 256 << 10
	// maxSubscriptions bounds one connection, such as an observer's.
	maxSubscriptions = 1024
	// maxMemoryStore bounds memory streams; there are none.
	maxMemoryStore = 32 << 20

	// authTimeout is longer than the handshakes of the listeners, which come before a client shows its key.
	authTimeout = 10 * time.Second

	// pingInterval is how often a silent client is asked whether it is there; after two intervals without
	// an answer its connection is closed, so that none of a lost link answers for a module.
	pingInterval = 5 * time.Second
)

// serverOptions returns the options of a server without a listener, with the accounts of
// config.
func serverOptions(c Config, config string) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "ironpost-" + c.Host,
		DontListen: true,
		NoSigs:     true,

		JetStream:              true,
		StoreDir:               c.StoreDir,
		JetStreamMaxStore:      c.MaxStoreBytes,
		JetStreamMaxMemory:     maxMemoryStore,
		SyncAlways:             true,
		DisableJetStreamBanner: true,
		// Batches that are not committed are on the disk beside the streams, without a limit of bytes: by default 1000 messages
		// in each of 50 batches of a stream.
		JetStreamLimits: server.JSLimitOpts{MaxBatchSize: bus.MaxBatch},

		MaxPayload:          maxPayload,
		MaxPending:          maxPending,
		MaxSubs:             maxSubscriptions,
		WriteDeadline:       writeDeadline,
		AuthTimeout:         authTimeout.Seconds(),
		PingInterval:        pingInterval,
		NoFastProducerStall: true,
	}
	if err := opts.ProcessConfigString(config); err != nil {
		return nil, err
	}
	return opts, nil
}
