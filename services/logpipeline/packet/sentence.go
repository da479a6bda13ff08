package packet

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/event"
)

// sentence describes d in a stable order, so that equal detections have equal sentences.
func sentence(d *event.TrafficFinding) string {
	words := []string{d.Direction, d.Name}
	if d.Method != "" {
		words = append(words, "("+d.Method+")")
	}
	words = append(words, "by", d.Actor)
	if d.NATAddress != "" {
		words = append(words, "(behind NAT, as "+d.NATAddress+")")
	}
	if d.MayBeDecoy {
		words = append(words, "(may be a decoy)")
	}
	words = append(words, "against", show(d.Target))
	if d.Phase != "" {
		words = append(words, d.Phase)
	}
	words = append(words, "for", millis(d.DurationMS).String()+":")
	var counts []string
	for _, name := range slices.Sorted(maps.Keys(d.Counts)) {
		counts = append(counts, name+" "+count(d.Counts[name]))
	}
	return join(append(words, strings.Join(counts, ", "))...)
}

func show(e event.Endpoint) string {
	switch {
	case e.IP == "":
		return "unknown"
	case e.Port == 0:
		return e.IP
	}
	return net.JoinHostPort(e.IP, strconv.Itoa(int(e.Port)))
}

// join joins the words that are not empty.
func join(words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}
