"""The demo's services on real data: ordinary gRPC programs that know nothing of Simpul."""
