import type { ContainerConfig, Healthcheck, HistoryEntry, Image } from './image';

/**
 * The image configuration's bytes, with keys in one fixed order: the image ID is their digest.
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
 * @param diffIds of the layers in order, `sha256:<hex>`
 * @param createdSeconds since 1970; written for the image and for every history entry (umoci crashes without)
 */
export function encodeConfig(image: Image, diffIds: readonly string[], createdSeconds: number): Buffer {
  const layerHistory = image.history.filter((entry) => !entry.empty_layer).length;
  if (layerHistory !== diffIds.length) {
    throw new Error(`The history speaks of ${layerHistory} layers, but the image has ${diffIds.length}.`);
  }
  const created = formatTime(createdSeconds);
  const { architecture, os, variant } = image.platform;
  return Buffer.from(
    JSON.stringify({
      created,
      author: image.author,
      architecture,
      variant,
      os,
      config: orderConfig(image.config),
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: image.history.map((entry) => orderHistory(entry, created)),
    }),
  );
}

/** RFC 3339 without fractions: `1970-01-01T00:00:00Z`. */
function formatTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

/** `JSON.stringify` leaves out what is undefined, so every key is named here once, in its place. */
function orderConfig(config: ContainerConfig): ContainerConfig {
  return {
    User: config.User,
    ExposedPorts: sortKeys(config.ExposedPorts),
    Env: config.Env,
    Entrypoint: config.Entrypoint,
    Cmd: config.Cmd,
    Healthcheck: config.Healthcheck && orderHealthcheck(config.Healthcheck),
    ArgsEscaped: config.ArgsEscaped,
    Volumes: sortKeys(config.Volumes),
    WorkingDir: config.WorkingDir,
    OnBuild: config.OnBuild,
    Labels: sortKeys(config.Labels),
    StopSignal: config.StopSignal,
    Shell: config.Shell,
  } satisfies { [Key in keyof Required<ContainerConfig>]: ContainerConfig[Key] | undefined } as ContainerConfig;
}

function orderHealthcheck(check: Healthcheck): Healthcheck {
  return {
    Test: check.Test,
    Interval: check.Interval,
    Timeout: check.Timeout,
    StartPeriod: check.StartPeriod,
    StartInterval: check.StartInterval,
    Retries: check.Retries,
  } satisfies { [Key in keyof Required<Healthcheck>]: Healthcheck[Key] | undefined } as Healthcheck;
}

function orderHistory(entry: HistoryEntry, created: string): object {
  const { created_by, author, comment, empty_layer } = entry;
  return { created, created_by, author, comment, empty_layer };
}

function sortKeys<Value>(map: Readonly<Record<string, Value>> | undefined): Record<string, Value> | undefined {
  if (map === undefined) return undefined;
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
