/** Errors for the engine: a gRPC status, with the partial state when the object exists nevertheless. */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import anyPb from "google-protobuf/google/protobuf/any_pb.js";
import { PartialFailure } from "./definition.ts";
import { encode, type Props, protect } from "./values.ts";

/** An error with its own status; other thrown values become UNKNOWN with their message. */
class StatusError extends Error implements ServiceError {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
  constructor(code: status, message: string, metadata = new Metadata()) {
    super(message);
    this.code = code;
    this.details = message;
    this.metadata = metadata;
  }
}

/** Creates the error of a refused request. */
export function refused(code: status, message: string): ServiceError {
  return new StatusError(code, message);
}

/** The data for marking secrets in a partial state. */
export interface Marks {
  secrets: readonly string[];
  inputs: Props;
  /** Source of the secret marks. @default the inputs */
  origin?: Props;
}

/**
 * Any thrown value as a gRPC error. A {@link PartialFailure} carries `ErrorResourceInitFailed` in
 * `grpc-status-details-bin`,
 * so that the engine keeps the existing object; after a cancellation the code is CANCELLED.
 */
export function toServiceError(error: unknown, signal: AbortSignal, marks?: Marks): ServiceError {
  if (error instanceof StatusError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof PartialFailure && marks) {
    const failed = new providerPb.ErrorResourceInitFailed();
    failed.setId(error.id).setReasonsList([message]).setInputs(encode(marks.inputs));
    failed.setProperties(encode(protect(error.state, marks.secrets, marks.origin ?? marks.inputs)));
    const detail = new anyPb.Any();
    detail.pack(failed.serializeBinary(), "pulumirpc.ErrorResourceInitFailed");
    const details = new statusPb.Status().setCode(status.UNKNOWN).setMessage(message).setDetailsList([detail]);
    const metadata = new Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from(details.serializeBinary()));
    return new StatusError(status.UNKNOWN, message, metadata);
  }
  if (signal.aborted) return new StatusError(status.CANCELLED, `cancelled: ${message}`);
  return new StatusError(status.UNKNOWN, message);
}
