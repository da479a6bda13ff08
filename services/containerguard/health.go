package containerguard

import (
	"time"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/health"
)

// Topics of health reasons, in the order in which they are shown.
const (
	topicPolicies     = "1 policies"
	topicDocker       = "2 docker"
	topicLedger       = "3 ledger"
	topicLedgerDisk   = "3 ledger disk"
	topicLedgerDamage = "3 ledger at start"
	topicEvidence     = "4 evidence"
	topicState        = "4 state"
	topicStateDamage  = "4 state at start"
	topicBlocks       = "5 blocks"
	topicBlockCaps    = "5 block caps"
	topicPending      = "6 pending alerts"
	topicConnections  = "6 connections"
	topicTracking     = "6 connections of containers"
	topicEgress       = "6 connections by containers"
	topicWebhook      = "7 webhook"
)

// panicShown is how long a panic over an alert stays a reason.
const panicShown = 10 * time.Minute

// Health reports why the guard cannot do all of its work. It may be called concurrently.
func (s *Service) Health() event.ModuleHealth {
	var more []health.Reason
	if run := s.run.Load(); run != nil {
		steps, _ := run.waiting.counts()
		if remark := waitingRemark(steps); remark != "" {
			more = append(more, health.Reason{Text: remark})
		}
		more = append(more, s.exemptions(run.inventory.List())...)
		reason := run.inventory.StaleReason()
		if reason != "" {
			reason = "containers are not acted on: " + reason
		}
		s.health.Set(topicDocker, reason)
		s.health.Set(topicBlockCaps, s.capped.text(time.Now()))
		s.health.Set(topicLedgerDisk, run.quarantine.LedgerReason())
		s.health.Set(topicEvidence, run.quarantine.EvidenceReason())
		reason = ""
		if err := s.connections.Err(); err != nil {
			reason = "connections that ended are not known, so addresses in logs are blocked less often: " + err.Error()
		}
		s.health.Set(topicConnections, reason)
		reason = ""
		if err := s.connections.TrackErr(); err != nil {
			reason = "connections to containers are not known, so addresses in their output are not blocked: " + err.Error()
		}
		s.health.Set(topicTracking, reason)
		reason = ""
		if err := run.sensor.Err(); err != nil {
			reason = "connections that containers begin are not all known, so a second sign about a container may be missing: " + err.Error()
		}
		s.health.Set(topicEgress, reason)
	}
	values := map[string]uint64{}
	for name, m := range s.counterMetrics() {
		values[name] = m.value
	}
	for name, m := range s.gaugeMetrics() {
		values[name] = m.value
	}
	if at := s.lastPanic.Load(); at != nil && time.Since(*at) < panicShown {
		more = append(more, health.Reason{
			Status: event.Unhealthy, Text: "panic while answering an alert at " + at.UTC().Format(time.RFC3339) + ", see the log",
		})
	}
	return s.health.Report(values, more...)
}
