"""The services that every gRPC server has and tools look for, answered by the node itself."""
