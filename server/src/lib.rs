//! gRPC services, sign-in and the rounds command.
