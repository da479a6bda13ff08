package event

import "slices"

// Trust says how far the origin of a record is proven, and with that what the record may cause.
// It is a claim of the module that published it: bus.Ceiling says how far that may be believed.
type Trust string

// The values of Trust, from the strongest to the weakest.
const (
	TrustKernel    Trust = "kernel"    // packets that the kernel saw
	TrustHost      Trust = "host"      // a line that only the program it names can have written
	TrustContainer Trust = "container" // the output of a container that the runtime names, or a scan of an image
	TrustPeer      Trust = "peer"      // an authenticated sender
	TrustUnproven  Trust = "unproven"  // everything else: anyone may have written it
)

// byTrust holds the values from the weakest to the strongest; the index is the rank.
var byTrust = [...]Trust{TrustUnproven, TrustPeer, TrustContainer, TrustHost, TrustKernel}

// Trusts returns the values of Trust, the strongest first.
func Trusts() []Trust {
	all := slices.Clone(byTrust[:])
	slices.Reverse(all)
	return all
}

// Rank orders the values: a stronger one has a higher rank. That of TrustUnproven, of no value
// and of an unknown one is 0.
func (t Trust) Rank() int { return max(0, slices.Index(byTrust[:], t)) }

// TrustOfRank is the inverse of Rank; a rank that no value has gives TrustUnproven.
func TrustOfRank(rank int) Trust {
	if rank < 0 || rank >= len(byTrust) {
		return TrustUnproven
	}
	return byTrust[rank]
}

// AtMost returns the weaker of t and ceiling.
func (t Trust) AtMost(ceiling Trust) Trust { return TrustOfRank(min(t.Rank(), ceiling.Rank())) }

// Origin says where an event came from, as the source that read it knows it. Nothing of it is
// taken from the text of a line. What a source does not know is empty.
type Origin struct {
	// Transport is how it came: a Transport constant.
	Transport string `json:"transport"`
	// Peer is the sender of a message: ip:port; or the name in its certificate, where that is proven.
	Peer string `json:"peer,omitempty"`
	// UID, Exe and Unit are the user, the program and the systemd unit of the process that wrote
	// it, where the source proves them.
	UID  *uint32 `json:"uid,omitempty"`
	Exe  string  `json:"exe,omitempty"`
	Unit string  `json:"unit,omitempty"`
	// Source is what was read: the path of a file, an interface, or what was scanned.
	Source string `json:"source,omitempty"`
	// Container is the id of the container whose output it is.
	Container string `json:"container,omitempty"`
}

// The transports of Ironpost's own modules. Those of logs are named as in log_pipeline.sources.
const (
	TransportPackets   = "packets"
	TransportFile      = "file"
	TransportDocker    = "docker"
	TransportSyslogUDP = "syslog_udp"
	TransportSyslogTCP = "syslog_tcp"
	TransportSyslogTLS = "syslog_tls"
	TransportUnix      = "unix"     // a datagram socket of this host
	TransportOperator  = "operator" // ironpost send
	TransportJournald  = "journald"
	TransportKernel    = "kernel" // the kernel's own log, where no journal has it
	TransportScan      = "scan"
)

func (o *Origin) clamp() {
	if o == nil {
		return
	}
	for _, text := range []*string{&o.Transport, &o.Peer, &o.Exe, &o.Unit, &o.Source, &o.Container} {
		*text = Shorten(*text, maxName)
	}
}

// ClaimedTrust returns a.Trust. A record of our modules from a version that knew no trust has what
// that version proved: it named a container only if the runtime did, and made a series only of
// packets.
func (a *Alert) ClaimedTrust() Trust {
	switch {
	case a.Trust != "":
		return a.Trust
	case a.Series != "":
		return TrustKernel
	case a.Container != nil && a.Container.ID != "":
		return TrustContainer
	}
	return TrustUnproven
}
