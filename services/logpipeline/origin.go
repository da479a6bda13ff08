package logpipeline

import (
	"slices"
	"strings"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/services/logpipeline/audit"
	"github.com/ironpost/ironpost/services/logpipeline/docker"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
	"github.com/ironpost/ironpost/services/logpipeline/syslog"
	"github.com/ironpost/ironpost/services/logpipeline/tail"
	"github.com/ironpost/ironpost/sigma"
)

// serviceLogs are the default watch paths in which a client or a user cannot write a line: one service writes them, and escapes what it was
// sent. The others are written by a syslog daemon, which takes lines from every user (logger -t sshd), or are error logs: nginx writes the
// decoded path of a request, line ends included, and what the children of Apache print is a line there.
var serviceLogs = []string{
	"/var/log/nginx/access.log", "/var/log/apache2/access.log", "/var/log/apache2/other_vhosts_access.log", "/var/log/httpd/access_log",
	"/var/log/audit/audit.log",
}

// fileOrigin returns the origin of a line of a watched file.
func fileOrigin(line tail.Line) (event.Origin, event.Trust) {
	trust := event.TrustUnproven
	if line.SystemOwned && slices.Contains(serviceLogs, line.Path) {
		trust = event.TrustHost
	}
	return event.Origin{Transport: event.TransportFile, Source: line.Path}, trust
}

// auditTrust returns the trust of a line that is the record r of the audit system, nil if it is none, and comes with trust. That the kernel
// passed a record on does not prove the text that a program wrote, unless the program is the first of the machine.
func auditTrust(r *audit.Record, trust event.Trust) event.Trust {
	if r != nil && r.IsOfProgram() && r.Get("pid") != "1" {
		return trust.AtMost(event.TrustUnproven)
	}
	return trust
}

// spooled are the transports of received messages and what their origin calls them.
var spooled = []struct{ transport, origin string }{
	{syslog.UDP, event.TransportSyslogUDP},
	{syslog.TCP, event.TransportSyslogTCP},
	{syslog.TLS, event.TransportSyslogTLS},
	{syslog.Unix, event.TransportUnix},
	{syslog.Operator, event.TransportOperator},
}

// spooledTransport returns the transport of a received message whose origin has this name, "" if none has.
func spooledTransport(origin string) string {
	for _, s := range spooled {
		if s.origin == origin {
			return s.transport
		}
	}
	return ""
}

// originTransport returns what the origin calls the transport of a received message.
func originTransport(transport string) string {
	for _, s := range spooled {
		if s.transport == transport {
			return s.origin
		}
	}
	return ""
}

// spooledInput returns the input that messages which came by transport are counted for.
func spooledInput(transport string) inputstats.ID {
	if transport == syslog.Unix {
		return inputstats.ID{Kind: inputstats.Socket}
	}
	return inputstats.ID{Kind: inputstats.Syslog, Name: transport}
}

// syslogOrigin returns the origin of a received message. Over UDP an address can be forged, and over TCP anyone may connect. A certificate proves
// who sent it, and the key of an operator who sends. The kernel proves which user's program wrote to a unix socket: the
// line is the host's if that is process, the program that the line names.
func syslogOrigin(r syslog.Record, process string) (event.Origin, event.Trust) {
	o, trust := event.Origin{Transport: originTransport(r.Transport), Peer: r.Peer, UID: r.UID, Exe: r.Exe}, event.TrustUnproven
	if r.Name != "" {
		o.Peer, trust = r.Name, event.TrustPeer
	}
	if r.Transport == syslog.Unix && isProvenWriter(process, o) {
		trust = event.TrustHost
	}
	return o, trust
}

// containerOrigin returns the origin of a line of a container's log.
func containerOrigin(line docker.Line) (event.Origin, event.Trust) {
	return event.Origin{Transport: event.TransportDocker, Container: line.Container.ID}, event.TrustContainer
}

// packetOrigin returns the origin of an event of a packet record.
func packetOrigin(r *event.Packet) (event.Origin, event.Trust) {
	return event.Origin{Transport: event.TransportPackets, Source: r.Interface}, event.TrustKernel
}

// setOrigin sets where in came from, for its alerts and as fields of rules. Fields that the line itself gave these names
// are removed: what it claims of its origin proves nothing.
func (in *input) setOrigin(o event.Origin, trust event.Trust) {
	in.origin, in.trust = o, trust
	in.Fields.Delete(isOriginField)
	set := func(name, value string) {
		if value != "" {
			in.Fields.Set(name, sigma.Text(value))
		}
	}
	set("origin.transport", o.Transport)
	set("origin.peer", o.Peer)
	set("origin.source", o.Source)
	set("origin.container", o.Container)
	set("origin.exe", o.Exe)
	set("origin.unit", o.Unit)
	if o.UID != nil {
		in.Fields.Set("origin.uid", sigma.Int(int64(*o.UID)))
	}
	set("trust", string(trust))
	set("log_host", in.Host)
}

// isOriginField reports whether a field is one that setOrigin sets, or that could be taken for one.
func isOriginField(name string) bool {
	if name == "" || name[0] != 'o' && name[0] != 't' && name[0] != 'l' { // most
		return false
	}
	return name == "trust" || name == "log_host" || name == "origin" || strings.HasPrefix(name, "origin.")
}
