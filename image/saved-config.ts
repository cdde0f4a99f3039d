import { formatPlatform, type Platform, parsePlatform } from '../platform';
import type { ContainerConfig, Healthcheck, HistoryEntry, Image, Layer } from './image';

/** The fields of an image configuration, a registry's or an engine's, that are looked at; engines write `null` for much of what isn't set. */
export interface SavedConfig {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly author?: string;
  readonly config?: Readonly<Record<string, unknown>> | null;
  readonly history?:
    | readonly { created_by?: string; comment?: string; author?: string; empty_layer?: boolean }[]
    | null;
  readonly rootfs?: { readonly diff_ids?: readonly string[] } | null;
}

/** In the form of `formatPlatform`; what is no platform is given as it stands. */
export function platformOf({ os, architecture, variant }: SavedConfig): string {
  const text = [os, architecture, variant].filter(Boolean).join('/');
  try {
    return formatPlatform(parsePlatform(text));
  } catch {
    return text;
  }
}

/**
 * An image of the layers that a configuration speaks of: times, and what describes the engine that built it, are left out.
 * @param layers as many as the configuration has
 */
export function toImage(saved: SavedConfig, layers: readonly Layer[], platform: Platform): Image {
  const history = (saved.history ?? []).map(toHistory);
  const isComplete = history.filter((entry) => !entry.empty_layer).length === layers.length;
  return {
    platform,
    ...(saved.author ? { author: saved.author } : {}),
    config: toContainerConfig(saved.config ?? {}, platform),
    // Squashed and imported images may have layers that their history doesn't know.
    history: isComplete ? history : layers.map(() => ({ created_by: '' })),
    layers,
  };
}

/** Classic builder and BuildKit name the same instruction differently: what is left is the instruction. */
function toHistory(entry: NonNullable<SavedConfig['history']>[number]): HistoryEntry {
  const created_by = (entry.created_by ?? '')
    .replace(/^\/bin\/sh -c #\(nop\)\s+/, '')
    .replace(/ # buildkit$/, '')
    .trimEnd();
  const comment = entry.comment === 'buildkit.dockerfile.v0' ? undefined : entry.comment;
  return {
    created_by,
    ...(comment ? { comment } : {}),
    ...(entry.author ? { author: entry.author } : {}),
    ...(entry.empty_layer ? { empty_layer: true as const } : {}),
  };
}

/**
 * What a container is run with. Left out is what describes the container or the engine that built it (Hostname, Image,
 * Tty, ...), and what says "not set" in another way: null, an empty string, an empty list or map. `Entrypoint`, `Cmd` and
 * `Shell` keep an empty list, which is how a Dockerfile takes back what its base image set.
 */
function toContainerConfig(saved: Readonly<Record<string, unknown>>, platform: Platform): ContainerConfig {
  const kept: Record<string, unknown> = {};
  const keep = (key: keyof ContainerConfig, isKeptEmpty = false): void => {
    const value = saved[key];
    if (value === null || value === undefined || value === '' || value === false) return;
    if (typeof value === 'object' && Object.keys(value).length === 0 && !isKeptEmpty) return;
    kept[key] = value;
  };
  keep('User');
  keep('ExposedPorts');
  keep('Env');
  keep('Entrypoint', true);
  keep('Cmd', true);
  // On Linux it has no meaning, and only some builders write it.
  if (platform.os === 'windows') keep('ArgsEscaped');
  keep('Volumes');
  keep('WorkingDir');
  keep('OnBuild');
  keep('Labels');
  keep('StopSignal');
  keep('Shell', true);
  const check = saved.Healthcheck as Healthcheck | null | undefined;
  if (check) {
    // 0 and absent are both the engine's default.
    kept.Healthcheck = Object.fromEntries(Object.entries(check).filter(([, value]) => value !== 0 && value !== null));
  }
  return kept as ContainerConfig;
}
