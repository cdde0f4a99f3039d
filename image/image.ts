import type { Platform } from '../platform';

/** A file's bytes: in memory, or a range of a file on disk that is read only while the archive is written. */
export type FileContent =
  | Uint8Array
  | { readonly path: string; readonly offsetBytes: number; readonly sizeBytes: number };

interface EntryBase {
  /** Relative to the image's root, `/`-separated, without leading or trailing slash: `etc/passwd`. */
  readonly path: string;
  /** Permission, setuid, setgid and sticky bits: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** One entry of a layer. Times and user names are not part of it: the writer fixes them. */
export type LayerEntry =
  | (EntryBase & { readonly type: 'directory' })
  | (EntryBase & { readonly type: 'file'; readonly content: FileContent })
  | (EntryBase & { readonly type: 'symlink'; readonly target: string })
  /** `target` is the path of an earlier entry of the same layer. */
  | (EntryBase & { readonly type: 'hardlink'; readonly target: string });

/**
 * What a filesystem change set holds: entries that are written as a tar when the archive is,
 * or an uncompressed layer tar that exists already (an engine's layer after normalisation, later a base image's).
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md
 */
export type Layer =
  | { readonly entries: readonly LayerEntry[] }
  | {
      readonly tar: {
        readonly path: string;
        readonly offsetBytes: number;
        readonly sizeBytes: number;
        /** Write its members sorted, with fixed times and without user names, instead of byte for byte. */
        readonly rewrite?: true;
      };
    };

/**
 * The execution part of an image configuration, with the fields that Docker adds to OCI's (Healthcheck, Shell, OnBuild,
 * ArgsEscaped). Absent means "not set"; an empty array is kept, for it means something (`ENTRYPOINT []`).
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
 * https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md
 */
export interface ContainerConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Healthcheck?: Healthcheck;
  readonly ArgsEscaped?: boolean;
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly OnBuild?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Shell?: readonly string[];
}

/** Durations are in nanoseconds, 0 or absent is the engine's default. `Test` is `['NONE']`, `['CMD', ...]` or `['CMD-SHELL', s]`. */
export interface Healthcheck {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** One line of `docker history`. `created` is written by the archive writer, the same for all. */
export interface HistoryEntry {
  readonly created_by: string;
  readonly comment?: string;
  readonly author?: string;
  /** True for an instruction that adds no layer. */
  readonly empty_layer?: true;
}

/** An image of one platform before it is written: what an engine (`embedded` or `docker`) hands to the archive. */
export interface Image {
  readonly platform: Platform;
  readonly author?: string;
  readonly config: ContainerConfig;
  /** In order; exactly one entry without `empty_layer` for each of `layers`. */
  readonly history: readonly HistoryEntry[];
  readonly layers: readonly Layer[];
}
