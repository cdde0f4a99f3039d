/** A real container engine behind a socket of our own that stops in the middle of an upload: no engine does so on demand. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineHost } from './engine';

export class StallingEngine {
  private readonly folder = mkdtempSync(join(tmpdir(), 'slim-go-engine-'));
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;
  /** DOCKER_HOST of this engine. */
  readonly host = `unix://${join(this.folder, 'docker.sock')}`;
  /** Resolves when the upload of an image has come half a megabyte far, and goes no further. */
  readonly loading: Promise<void>;

  private constructor() {
    let arrived: () => void = () => undefined;
    this.loading = new Promise((resolve) => {
      arrived = resolve;
    });
    this.server = createServer((client) => {
      const engine = connectSocket((engineHost ?? '').replace(/^unix:\/\//, ''));
      for (const [socket, other] of [
        [client, engine],
        [engine, client],
      ] as const) {
        this.sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.sockets.delete(socket);
          other.destroy();
        });
      }
      engine.pipe(client);
      let isLoad: boolean | undefined;
      let sentBytes = 0;
      client.on('data', (chunk: Buffer) => {
        isLoad ??= /^POST \/(v[\d.]+\/)?images\/load/.test(chunk.toString('latin1'));
        sentBytes += chunk.length;
        engine.write(chunk);
        if (!isLoad || sentBytes < 512 * 1024) return;
        client.pause();
        arrived();
      });
    });
  }

  static async start(): Promise<StallingEngine> {
    const engine = new StallingEngine();
    await new Promise<void>((resolve) => engine.server.listen(engine.host.replace(/^unix:\/\//, ''), resolve));
    return engine;
  }

  /** Breaks every connection, and takes no new one. */
  async die(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
