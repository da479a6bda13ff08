package logpipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/logpipeline/inputstats"
)

// VerbInputs is the verb that answers with an InputsReply.
const VerbInputs = "inputs"

// maxInputsReply bounds an answer in bytes: the bus carries no larger ones.
const maxInputsReply = 512 << 10

// InputsReply is what each input brought.
type InputsReply struct {
	Time   time.Time          `json:"time"`
	Inputs []inputstats.Input `json:"inputs"`
	More   int                `json:"more,omitempty"`   // inputs that there was no room for; the metrics have them
	Chosen string             `json:"chosen,omitempty"` // what sources = ["auto"] found to read, for people
}

// serve answers the verbs until ctx ends.
func (s *Service) serve(ctx context.Context) error {
	stop, err := s.deps.Bus.Serve(ctx, bus.ServiceConfig{
		Module: Name, Host: s.deps.Host,
		Acts: map[string]bus.Act{VerbSend: s.sendVerb},
		Verbs: map[string]bus.Verb{
			VerbInputs: func(context.Context, []byte) (any, error) { return s.inputsReply(), nil },
			VerbTap:    func(_ context.Context, request []byte) (any, error) { return s.taps.answer(request, time.Now()) },
		},
	})
	if err != nil {
		return fmt.Errorf("log pipeline: %w", err)
	}
	defer stop()
	<-ctx.Done()
	return nil
}

func (s *Service) inputsReply() InputsReply {
	all := s.inputStats.All()
	reply := InputsReply{Time: time.Now().UTC(), Inputs: all, Chosen: s.snapshot().chosen}
	size := 0
	for i, in := range all {
		text, err := json.Marshal(in)
		if size += len(text); err != nil || size > maxInputsReply {
			reply.Inputs, reply.More = all[:i], len(all)-i
			break
		}
	}
	return reply
}
