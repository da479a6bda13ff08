package actioncollector

import (
	"github.com/sirupsen/logrus"

	"github.com/ironpost/ironpost/event"
)

// logAction writes one line for an action. Text from outside goes into fields only, never into the message.
func logAction(log logrus.FieldLogger, a *event.Action, seq, streamSeq uint64) {
	log = log.WithFields(logrus.Fields{
		"action_id": a.ID, "trace_id": a.TraceID, "module": a.Module, "kind": a.Kind, "target": a.Target,
		"phase": string(a.Phase), "audit_seq": seq, "stream_seq": streamSeq,
	})
	for key, value := range map[string]string{
		"alert_id": a.AlertID, "policy": a.Policy, "reason": a.Reason, "action_error": a.Error, "undo": a.Undo,
	} {
		if value != "" {
			log = log.WithField(key, value)
		}
	}
	if a.Container != nil {
		log = log.WithField("container_id", a.Container.ID)
	}
	if a.DryRun {
		log = log.WithField("dry_run", true)
	}
	if a.Phase == event.Failed {
		log.Warn("action audited")
		return
	}
	log.Info("action audited")
}
