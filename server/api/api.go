// Package api is the server's edge: the agents' gRPC service and the streams
// held for them, and the admin service over the local socket, gRPC and JSON.
// It checks who calls, bounds what may be sent, translates messages to flow's
// types and errors to codes, and reaches connected agents (Hub). It must not
// decide anything, and it must not know SQL, providers or keys.
package api
