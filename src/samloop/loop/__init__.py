"""The loop: the spine (turn.py) and the stages that join the rooms."""
