import { SlimGoError } from './errors';

/**
 * What an image or a binary runs on, in the names of the OCI image index (which are Go's GOOS and GOARCH).
 * https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md#platform-variants
 */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** `v6`, `v7` (arm), `v2`..`v4` (amd64); absent where the architecture has one form. arm64's `v8` is left out. */
  readonly variant?: string;
}

const component = /^[a-z0-9_]+$/;

/**
 * Reads `os/arch[/variant]`, normalised as containerd does (`x86_64` is amd64, `aarch64` and `arm64/v8` are arm64,
 * `arm` alone is `arm/v7`, `amd64/v1` is amd64).
 * @throws PLATFORM_INVALID
 * https://github.com/containerd/platforms/blob/v1.0.0/database.go
 */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split('/');
  const [os, rawArchitecture, rawVariant] = parts;
  if (parts.length < 2 || parts.length > 3 || !os || !rawArchitecture || parts.some((part) => !component.test(part))) {
    throw new SlimGoError('PLATFORM_INVALID', `"${text}" is not a platform.`, {
      hint: 'Write os/arch or os/arch/variant, for example linux/amd64, linux/arm64 or linux/arm/v7.',
    });
  }
  let architecture = rawArchitecture;
  let variant = rawVariant;
  if (architecture === 'x86_64') architecture = 'amd64';
  if (architecture === 'aarch64') architecture = 'arm64';
  if (architecture === 'armhf') [architecture, variant] = ['arm', 'v7'];
  if (architecture === 'armel') [architecture, variant] = ['arm', 'v6'];
  if (architecture === 'arm' && variant === undefined) variant = 'v7';
  if (architecture === 'arm64' && (variant === 'v8' || variant === '8')) variant = undefined;
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  if (variant !== undefined && /^\d$/.test(variant)) variant = `v${variant}`;
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

/** `linux/arm/v7`: the form that `TARGETPLATFORM` and the folders under `dist/` have. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined).join('/');
}

const goArchitectures: Partial<Record<NodeJS.Architecture, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** The platform this process runs on, in Go's names. */
export function hostPlatform(): Platform {
  const os = process.platform === 'win32' ? 'windows' : process.platform;
  return parsePlatform(`${os}/${goArchitectures[process.arch] ?? process.arch}`);
}

/** The platform of Linux containers on this host: what Docker Desktop's virtual machine runs on macOS and Windows. */
export function hostContainerPlatform(): Platform {
  return { ...hostPlatform(), os: 'linux' };
}
