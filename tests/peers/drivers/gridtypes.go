// What the grid's own types make of deployments: one base64 line in, one JSON line out. Built inside grid-client's module.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"github.com/threefoldtech/zos/pkg/gridtypes"
	_ "github.com/threefoldtech/zos/pkg/gridtypes/zos"
)

type verdict struct {
	Hash  string `json:"hash"`
	Error string `json:"error"`
}

func judge(document []byte) (seen verdict) {
	defer func() {
		if problem := recover(); problem != nil {
			seen = verdict{Error: fmt.Sprint("panic: ", problem)}
		}
	}()
	var deployment gridtypes.Deployment
	if err := json.Unmarshal(document, &deployment); err != nil {
		return verdict{Error: err.Error()}
	}
	hash, err := deployment.ChallengeHash()
	if err != nil {
		return verdict{Error: err.Error()}
	}
	return verdict{Hash: hex.EncodeToString(hash)}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		document, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			panic(err)
		}
		if err := out.Encode(judge(document)); err != nil {
			panic(err)
		}
	}
}
