/** The semantics of a resource's calls: previews, differences, reading. */
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import type { Call, ResourceDefinition } from "./definition.ts";
import { type Change, diff } from "./diff.ts";
import type { Fields } from "./fields.ts";
import { encode, hasSecret, type Props, protect, reveal, Secret, unknown } from "./values.ts";
import { project } from "./wire.ts";

const { Kind } = providerPb.PropertyDiff;
const { DiffChanges } = providerPb.DiffResponse;

const kinds: Record<Change["kind"], [providerPb.PropertyDiff.Kind, providerPb.PropertyDiff.Kind]> = {
  add: [Kind.ADD, Kind.ADD_REPLACE],
  delete: [Kind.DELETE, Kind.DELETE_REPLACE],
  update: [Kind.UPDATE, Kind.UPDATE_REPLACE],
};

/** The outputs of a previewed creation: the inputs, and unknown for values set by the API. */
export function createdPreview<Client>(definition: ResourceDefinition<Client>, inputs: Props): Props {
  const outputs: Props = { ...inputs };
  const computed = Object.keys(definition.inputs).filter((key) => definition.inputs[key]?.computed);
  for (const key of [...computed, ...definition.outputs]) if (outputs[key] === undefined) outputs[key] = unknown;
  return protect(outputs, definition.secretOutputs ?? [], inputs);
}

/**
 * The inputs with the provider's planned values for missing ones that the state has. Ignored inputs are not planned: the
 * bridge uses the state's value.
 */
function plannedInputs<Client>(
  definition: ResourceDefinition<Client>,
  news: Props,
  state: Props,
  ignored: readonly string[],
): Props {
  const isPlanned = (name: string) =>
    (state[name] ?? undefined) !== undefined || definition.plannedWithoutState?.includes(name);
  const planned = Object.entries(definition.planned?.(news) ?? {}).filter(
    ([name]) => news[name] === undefined && isPlanned(name) && !ignored.includes(name),
  );
  return { ...news, ...Object.fromEntries(planned) };
}

/** The outputs of a previewed update: new inputs, old outputs, and unknown for what it changes. */
export function updatedPreview<Client>(
  definition: ResourceDefinition<Client>,
  olds: Props,
  news: Props,
  ignored: readonly string[] = [],
): Props {
  const outputs: Props = {};
  for (const [key, value] of Object.entries(olds)) {
    const field = definition.inputs[key];
    if (!field || field.computed) outputs[key] = value;
  }
  const wanted = plannedInputs(definition, news, olds, ignored);
  Object.assign(outputs, wanted);
  for (const key of definition.changing?.(reveal(olds), reveal(wanted)) ?? []) {
    outputs[key] = hasSecret(olds[key]) ? new Secret(unknown) : unknown;
  }
  return protect(outputs, definition.secretOutputs ?? [], olds);
}

function pick(fields: Fields, state: Props): Props {
  return Object.fromEntries(Object.keys(fields).map((key) => [key, state[key]]));
}

/**
 * The old inputs, completed with the API's values of missing computed ones: setting that same value is not a change, as in
 * Terraform's providers.
 */
function effectiveInputs(fields: Fields, oldInputs: Props, state: Props, news: Props): Props {
  const effective: Props = { ...oldInputs };
  for (const [name, field] of Object.entries(fields)) {
    const [made, wanted] = [reveal({ made: state[name] }).made, reveal({ wanted: news[name] }).wanted];
    if (!field.computed || oldInputs[name] !== undefined || made === undefined || wanted === undefined) continue;
    effective[name] = project(field, wanted, made);
  }
  return effective;
}

/**
 * The answer to `Diff`. Inputs are compared with inputs; an old state without inputs is used in their place.
 *
 * `deleteBeforeReplace` is never set, because no official provider sets it for these resources (the bridge's
 * pf/tfbridge/provider_diff.go takes it from the package's resources.go; pulumi-command omits it): the new resource is
 * created while the old one exists, so a unique name collides unless the program sets `deleteBeforeReplace`.
 * @param ignored inputs whose changes the program ignores
 * @throws Error naming each input that cannot be changed
 */
export function diffResponse<Client>(
  definition: ResourceDefinition<Client>,
  state: Props,
  oldInputs: Props | undefined,
  given: Props,
  ignored: readonly string[] = [],
): providerPb.DiffResponse {
  const { inputs } = definition;
  const news = plannedInputs(definition, given, state, ignored);
  const before = oldInputs ? effectiveInputs(inputs, oldInputs, state, news) : pick(inputs, state);
  const changes = diff(inputs, before, news);
  const forbidden = [...changes].filter(([, change]) => change.forbidden).map(([path]) => path);
  if (forbidden.length > 0) {
    throw new Error(
      `${forbidden.join(", ")} cannot be updated: put the old value back, or give the resource another name in the program to have a new one`,
    );
  }
  const response = new providerPb.DiffResponse();
  response.setChanges(changes.size > 0 ? DiffChanges.DIFF_SOME : DiffChanges.DIFF_NONE).setHasdetaileddiff(true);
  const [properties, replaces] = [new Set<string>(), new Set<string>()];
  for (const [path, change] of changes) {
    properties.add(change.property);
    if (change.replace || !definition.update) replaces.add(change.property);
    const kind = kinds[change.kind][change.replace || !definition.update ? 1 : 0];
    response.getDetaileddiffMap().set(path, new providerPb.PropertyDiff().setKind(kind).setInputdiff(true));
  }
  response.setDiffsList([...properties]).setReplacesList([...replaces]);
  if (replaces.size === 0) response.setStablesList([...(definition.stables ?? [])]);
  return response;
}

/**
 * The answer to `Read`: an empty id when the resource is gone; else state and inputs as read, with the previous secret
 * marks. Without a `read` method the state is assumed to be true.
 */
export async function readResource<Client>(
  definition: ResourceDefinition<Client>,
  call: Call<Client>,
  id: string,
  state: Props,
  inputs: Props | undefined,
): Promise<providerPb.ReadResponse> {
  const response = new providerPb.ReadResponse();
  if (!definition.read) {
    return response
      .setId(id)
      .setProperties(encode(state))
      .setInputs(encode(inputs ?? pick(definition.inputs, state)));
  }
  const found = await definition.read(call, id, reveal(state), inputs ? reveal(inputs) : undefined);
  if (!found) return response;
  const secretInputs = Object.keys(definition.inputs).filter((key) => definition.inputs[key]?.secret);
  const secretOutputs = [...(definition.secretOutputs ?? []), ...secretInputs];
  response.setId(found.id ?? id).setProperties(encode(protect(found.state, secretOutputs, { ...inputs, ...state })));
  return response.setInputs(encode(protect(found.inputs, secretInputs, inputs ?? state)));
}
