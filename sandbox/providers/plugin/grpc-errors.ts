/** Errors as the engine takes them: a gRPC status, with the partial state when the object exists all the same. */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import anyPb from "google-protobuf/google/protobuf/any_pb.js";
import { PartialFailure } from "./definition.ts";
import { encode, type Props, protect } from "./values.ts";

/** An error with a status of its own; anything else that is thrown becomes UNKNOWN with its message. */
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

/** Makes the error of a request that is refused. */
export function refused(code: status, message: string): ServiceError {
  return new StatusError(code, message);
}

/** What is needed to mark secrets in a partial state. */
export interface Marks {
  secrets: readonly string[];
  inputs: Props;
  /** Where secret marks are looked up; the inputs when absent. */
  origin?: Props;
}

/**
 * Any thrown value as a gRPC error. A {@link PartialFailure} carries `ErrorResourceInitFailed` in `grpc-status-details-bin`,
 * so that the engine keeps what exists; after a cancellation the code is CANCELLED.
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
