// served is what the tests of the endpoint ask next to ours: Go's own net/http/pprof, in a program that does what
// tests/programs/served.c does. It works until its standard input ends.
//
//	served [-write-timeout DURATION] [-rate BYTES]
//
// Prints the port of 127.0.0.1 on which it listens.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

var shared sync.Mutex
var sink uint64

//go:noinline
func spin(n int) {
	x := uint64(n) | 1
	for i := 0; i < n; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	if x == 0 {
		sink = x
	}
}

//go:noinline
func allocate(blocks [][]byte, round int) {
	for i := 0; i < 16; i++ {
		blocks[(round*16+i)%len(blocks)] = make([]byte, 1024<<(i%4))
	}
}

//go:noinline
func contend() {
	shared.Lock()
	spin(60000)
	time.Sleep(200 * time.Microsecond)
	shared.Unlock()
}

func work() {
	blocks := make([][]byte, 64)
	for round := 0; ; round++ {
		spin(300000)
		allocate(blocks, round)
		contend()
		time.Sleep(time.Millisecond)
	}
}

func main() {
	timeout := flag.Duration("write-timeout", 0, "of the server")
	rate := flag.Int("rate", 16384, "bytes between samples of the heap")
	flag.Parse()
	runtime.MemProfileRate = *rate
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	for i := 0; i < 3; i++ {
		go work()
	}
	handles := pprof.NewProfile("handles")
	for i := 0; i < 5; i++ {
		handles.Add(new(int), 0)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go (&http.Server{WriteTimeout: *timeout}).Serve(listener)
	io.Copy(io.Discard, os.Stdin)
}
